import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { ephemeralPair } from '../../src/certificates/ephemeral.ts';
import type { TestCluster } from './cluster.ts';

/** The part of a kubelet that `kubectl logs` needs. */
export interface Kubelet {
  readonly node: string;
  readonly close: () => Promise<void>;
}

/** Registers this machine as a Node. `logOf` returns the log of a container. */
export async function startKubelet(
  { client }: Pick<TestCluster, 'client'>,
  logOf: (namespace: string, pod: string, container: string) => string,
): Promise<Kubelet> {
  const { cert, key } = await ephemeralPair({ names: [{ type: 'ip', value: '127.0.0.1' }], now: Date.now(), days: 1 });
  const server = createServer({ cert, key }, (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'https://kubelet');
    const [, namespace, pod, container] = /^\/containerLogs\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(pathname) ?? [];
    if (namespace === undefined || pod === undefined || container === undefined) response.writeHead(404).end();
    else response.end(logOf(namespace, pod, container));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: Port } = server.address() as AddressInfo;
  const node = 'node-of-this-machine';
  const status = {
    addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
    daemonEndpoints: { kubeletEndpoint: { Port } },
  };
  const body = { metadata: { name: node }, status };
  await client.request({ method: 'POST', path: '/api/v1/nodes', body });
  return {
    node,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
