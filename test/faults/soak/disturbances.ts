import { Agent } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import { writeNamespaces } from '../../support/many-objects.ts';
import type { Fault as RegistryFault } from '../../support/registry-server.ts';
import { post, type WebhookProcess } from '../../support/webhook-process.ts';
import { childPid, type Cluster } from '../support/world.ts';

/** A fault that is switched on for a while. */
interface Disturbance {
  readonly name: string;
  readonly run: (opened: Cluster) => Promise<void>;
}

const ON_MS = 15_000;

function registry(name: string, fault: RegistryFault): Disturbance {
  return {
    name: `registry ${name}`,
    run: async (opened) => {
      opened.registry.fail(fault);
      await sleep(ON_MS);
      opened.registry.fail(undefined);
    },
  };
}

function apiServer(name: string, mode: 'refuse' | 'hang' | number, ms = ON_MS): Disturbance {
  return {
    name: `API server ${name} for replicas`,
    run: async ({ proxy }) => {
      proxy.set(mode);
      await sleep(ms);
      proxy.set('pass');
    },
  };
}

const address = ({ url }: WebhookProcess): { host: string; port: number } => {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
};

const connections: Disturbance = {
  name: '300 idle and slow connections to each replica',
  run: async ({ installation: { replicas } }) => {
    const sockets: TLSSocket[] = [];
    for (let index = 0; index < 300; index += 1) {
      for (const replica of replicas) {
        const socket = connectTls({ ...address(replica), rejectUnauthorized: false });
        socket.on('error', () => {});
        if (index % 3 === 0) socket.write('POST /mutate HTTP/1.1\r\ncontent-length: 500\r\n');
        sockets.push(socket);
      }
      if (index % 20 === 0) await sleep(50);
    }
    await sleep(ON_MS);
    for (const socket of sockets) socket.destroy();
  },
};

const garbage: Disturbance = {
  name: 'garbage in place of TLS, and bad requests',
  run: async ({ installation: { replicas } }) => {
    for (let round = 0; round < 100; round += 1) {
      for (const replica of replicas) {
        const socket = connect(address(replica));
        socket.on('error', () => {});
        socket.end(Buffer.alloc(200, round));
        const agent = new Agent({ rejectUnauthorized: false });
        await post(replica.url, replica.ca, `{"a":${round}`, { agent }).catch(() => {});
        agent.destroy();
      }
      await sleep(50);
    }
  },
};

const etcd: Disturbance = {
  name: 'etcd stands still for 0.2 s of each 0.4 s',
  run: async () => {
    const pid = childPid('etcd');
    for (let round = 0; round < 40; round += 1) {
      process.kill(pid, 'SIGSTOP');
      await sleep(200);
      process.kill(pid, 'SIGCONT');
      await sleep(200);
    }
  },
};

const namespaces: Disturbance = {
  name: '200 namespaces come and go',
  run: async ({ cluster }) => {
    await writeNamespaces(cluster.client, 200);
    const names = Array.from({ length: 200 }, (_, index) => `team-${index + 1}`);
    await cluster.kubectl(['delete', 'namespace', '--wait=false', '--ignore-not-found', ...names]);
    // Only the controller manager would finalize them, and it does not run here.
    for (const name of names) {
      const path = `/api/v1/namespaces/${name}/finalize`;
      const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, spec: { finalizers: [] } };
      await cluster.client.request({ method: 'PUT', path, body, timeoutMs: 30_000 }).catch(() => {});
    }
  },
};

const quiet: Disturbance = { name: 'nothing', run: () => sleep(ON_MS) };

/** Tried one after another, in a cycle. */
export const DISTURBANCES: readonly Disturbance[] = [
  quiet,
  registry('hangs', { kind: 'hang' }),
  apiServer('refuses connections', 'refuse'),
  connections,
  registry('resets connections', { kind: 'reset' }),
  garbage,
  // Longer than a Lease lasts, so that another replica takes over warm-up.
  apiServer('hangs for 35 s', 'hang', 35_000),
  registry('fails with 500', { kind: 'answer', status: 500 }),
  namespaces,
  apiServer('is 0.3 s away', 300),
  registry('says 429', { kind: 'answer', status: 429, headers: { 'retry-after': '5' } }),
  etcd,
  registry('sends wrong bytes', { kind: 'corrupt' }),
];
