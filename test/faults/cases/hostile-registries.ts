import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

import { createCertificate } from '../../support/certificate.ts';
import { bundle } from '../../support/bundle.ts';
import { type Fault, keep } from '../fault.ts';
import type { AttackKind } from '../support/hostile-registry.ts';
import { startHostile } from '../support/hostile-process.ts';
import { besideAttack, BESIDE_PROMISE, openStreet } from '../support/neighbour.ts';
import { startRawServer } from '../support/raw-server.ts';
import type { World } from '../support/world.ts';

/** Starts a server on loopback that nobody may connect to. Returns its host and port, and how often somebody did. */
async function openVictim(world: World): Promise<{ readonly host: string; readonly calls: () => number }> {
  let calls = 0;
  const server = createServer((socket) => {
    calls += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  world.afterwards(() => server.close());
  return { host: `127.0.0.1:${(server.address() as { port: number }).port}`, calls: () => calls };
}

const PROMISE = `meanwhile ${BESIDE_PROMISE}`;
const ALSO =
  'test/registry/faults.test.ts, test/registry/authentication.test.ts, test/registry/encodings-and-ranges.test.ts';

/** Pods of each of these hosts, every two seconds, in a namespace of its own each. */
const hostileRegistries = (kind: AttackKind, name: string): Fault => ({
  id: `registries-${kind}`,
  name: `${name}: an image of each in a Pod of its own, every two seconds`,
  promise: PROMISE,
  alsoIn: ALSO,
  async run(world) {
    const { main, remove } = bundle();
    world.afterwards(remove);
    const victim = await openVictim(world);
    const { hosts, unasked } = await startHostile(world, kind, victim.host);
    const street = await openStreet(world, () => hosts, { main });
    const seen = await besideAttack(street, {
      everySecond: async (second) => {
        if (second % 2 === 1) return;
        const images = hosts.map((host) => `${host}/team/app:${second}`);
        await Promise.all(images.map((one, index) => street.pod(`greedy-${index}`, [one])));
      },
    });
    const text = `${hosts.length} kinds; ${seen}`;
    const missed = await unasked();
    keep(missed.length === 0, `nobody asked for ${missed.join(', ')}; ${text}`);
    keep(victim.calls() === 0, `a port of loopback was called ${victim.calls()} times; ${text}`);
    return text;
  },
});

const CHAIN_BYTES = 1 << 20;

/** Hosts that speak TLS badly: half of them never end the handshake, half send a chain of 1 MB. */
const handshakes: Fault = {
  id: 'registries-tls',
  name: 'hosts that never end their TLS handshake, or send a chain of certificates of 1 MB: 32 in a Pod, every second',
  promise: PROMISE,
  alsoIn: 'test/registry/transport.test.ts',
  async run(world) {
    const { cert, key } = await createCertificate();
    const chain = cert
      .trim()
      .concat('\n')
      .repeat(Math.ceil(CHAIN_BYTES / cert.length) + 1);
    const server = createTlsServer({ key, cert: chain }, (socket) => socket.destroy());
    let shaken = 0;
    server.on('tlsClientError', () => (shaken += 1));
    await new Promise<void>((resolve) => {
      server.listen(0, '0.0.0.0', resolve);
    });
    world.afterwards(() => server.close());
    const { port: chains } = server.address() as { port: number };
    const silent = await startRawServer(world, () => {});
    const hosts = (second: number): string[] =>
      Array.from({ length: 32 }, (_, index) => `127.4.${second}.${index + 1}:${index % 2 === 0 ? silent : chains}`);
    const insecure = Array.from({ length: 10 }, (_, second) => hosts(second)).flat();
    const street = await openStreet(world, () => insecure.map((host) => `https://${host}`));
    const seen = await besideAttack(street, {
      everySecond: (second) =>
        street.pod(
          'greedy',
          hosts(second).map((host) => `${host}/app:1`),
        ),
    });
    const text = `${shaken} handshakes refused for their chain; ${seen}`;
    keep(shaken > 0, text);
    return text;
  },
};

export const hostileRegistryFaults: readonly Fault[] = [
  hostileRegistries('documents', 'registries whose documents unpack to gigabytes, or hold a million of something'),
  hostileRegistries('protocol', 'registries that break HTTP: without end, without sense, a byte a second'),
  hostileRegistries('logins', 'registries whose tokens, challenges and redirects are hostile'),
  handshakes,
];
