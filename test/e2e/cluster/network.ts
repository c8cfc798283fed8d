import { mkdir, writeFile } from 'node:fs/promises';

import { command } from '../../lab/command.ts';
import { inNetwork } from './daemons.ts';
import { NODES, OUTSIDE } from './place.ts';

const ip = (...args: readonly string[]): Promise<string> => command('ip', args);

/**
 * Makes the network: a bridge outside, and a namespace for each node with a cable to it. There is no way out: the default routes lead to
 * the bridge, which forwards between nodes and nothing else.
 */
export async function makeNetwork(): Promise<void> {
  await mkdir('/run/netns', { recursive: true });
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'add', 'outside', 'type', 'bridge');
  await ip('addr', 'add', `${OUTSIDE}/24`, 'dev', 'outside');
  await ip('link', 'set', 'outside', 'up');
  for (const { name, address } of NODES) {
    const cable = `to-${name}`;
    await ip('netns', 'add', name);
    await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await ip('link', 'set', cable, 'master', 'outside', 'up');
    await ip('-n', name, 'link', 'set', 'lo', 'up');
    await ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
    await ip('-n', name, 'route', 'add', 'default', 'via', OUTSIDE);
    for (const other of NODES) {
      if (other.name !== name) await ip('-n', name, 'route', 'add', `${other.pods}.0/24`, 'via', other.address);
    }
    await ip('route', 'add', `${NODES.find((one) => one.name === name)?.pods}.0/24`, 'via', address);
    const [program, args] = inNetwork(name, 'sysctl', [
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv4.conf.all.route_localnet=1',
    ]);
    await command(program, args);
    // Where the kernel lacks it, Pods of one node reach each other without iptables.
    const bridged = inNetwork(name, 'sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=1']);
    await command(...bridged).catch(() => {});
  }
}

/** Gives this process the machine's own files to change: what is written to /etc, /var and /run is gone with the isolation. */
export async function hideMachine(folder: string): Promise<void> {
  await command('mount', ['-t', 'tmpfs', 'e2e', '/run']);
  for (const place of ['etc', 'var', 'opt', 'usr/libexec'] as const) {
    const upper = `/run/e2e-overlay/${place}`;
    await mkdir(`${upper}/upper`, { recursive: true });
    await mkdir(`${upper}/work`, { recursive: true });
    const options = `lowerdir=/${place},upperdir=${upper}/upper,workdir=${upper}/work`;
    await command('mount', ['-t', 'overlay', 'e2e', '-o', options, `/${place}`]);
  }
  await writeFile('/etc/resolv.conf', `nameserver ${OUTSIDE}\n`);
  await mkdir(folder, { recursive: true });
}
