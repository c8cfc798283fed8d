import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Agent } from 'undici';

import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';

/** A response: an object (200), a status with a message, or a fault. */
type ApiAnswer = object | { readonly status: number; readonly message: string } | 'hang' | 'reset' | 'html';

export interface SecretsApi {
  readonly client: KubeClient;
  /** `GET /api/v1/…` for each request, in order. */
  readonly requests: string[];
  readonly mostAtOnce: () => number;
  /** Responses by path below /api/v1/namespaces. Any other path gets a 404. */
  readonly objects: Map<string, ApiAnswer>;
  /** Milliseconds before each response. */
  delay: number;
  readonly close: () => Promise<void>;
}

/** Returns a Secret with a docker config, as the API returns it. */
export const dockerConfigSecret = (config: unknown, type = 'kubernetes.io/dockerconfigjson'): object => {
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  const key = type === 'kubernetes.io/dockercfg' ? '.dockercfg' : '.dockerconfigjson';
  return { kind: 'Secret', type, data: { [key]: Buffer.from(text).toString('base64') } };
};

/** Starts a server that answers GETs of Secrets and ServiceAccounts like an API server, with our own client for it. */
export async function startSecretsApi(): Promise<SecretsApi> {
  const objects = new Map<string, ApiAnswer>();
  const requests: string[] = [];
  let open = 0;
  let most = 0;
  const state = { delay: 0 };
  const server = createServer((request, response) => {
    open += 1;
    most = Math.max(most, open);
    response.on('close', () => (open -= 1));
    const path = request.url ?? '';
    requests.push(`${request.method} ${path}`);
    const send = (status: number, body: unknown) =>
      setTimeout(() => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      }, state.delay);
    const answer = objects.get(path.replace('/api/v1/namespaces/', ''));
    if (answer === 'hang') return;
    if (answer === 'reset') request.socket.resetAndDestroy();
    else if (answer === 'html') response.writeHead(502).end('<html>');
    else if (answer === undefined) send(404, { kind: 'Status', message: `${path} not found` });
    else if ('status' in answer) send(answer.status, { kind: 'Status', ...answer });
    else send(200, answer);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const agent = new Agent();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createKubeClient({
    server: url,
    prepare: async () => ({ headers: { authorization: 'Bearer t' }, dispatcher: agent }),
    close: async () => await agent.destroy(),
  });
  const close = async (): Promise<void> => {
    await client.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
  return Object.assign(state, { client, requests, objects, mostAtOnce: () => most, close });
}
