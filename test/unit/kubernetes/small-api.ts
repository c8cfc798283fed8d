import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Agent } from 'undici';

import { createKubeClient, type KubeClient, type Transport } from '../../../src/kubernetes/client.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly response: ServerResponse;
  /** Answers with JSON. */
  readonly send: (body: unknown, status?: number) => void;
  /** Answers 200, and leaves the rest to `event` and `response`. */
  readonly open: () => void;
  /** A line of a watch. */
  readonly event: (type: string, object: unknown) => void;
}

export interface SmallApi {
  readonly client: KubeClient;
  readonly url: string;
  readonly asked: Asked[];
  /** What answers from now on. */
  answer: (asked: Asked) => void;
  /** Ends all connections without a word. */
  readonly cut: () => void;
  readonly close: () => Promise<void>;
}

/** Whether a list is asked for as the first events of a watch. */
export const isStream = ({ query }: Asked): boolean => query.get('sendInitialEvents') === 'true';

export function clientOf(server: string, change: Partial<Transport> = {}): KubeClient {
  const agent = new Agent();
  return createKubeClient({
    server,
    prepare: async () => ({ headers: { authorization: 'Bearer t' }, dispatcher: agent }),
    close: async () => await agent.destroy(),
    ...change,
  });
}

/** An HTTP server that answers as it is told to, and our own client for it. */
export async function startSmallApi(answer: (asked: Asked) => void): Promise<SmallApi> {
  const asked: Asked[] = [];
  const state = { answer };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url ?? '', 'http://api');
      const one: Asked = {
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
        response,
        send: (body, status = 200) =>
          void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
        open: () => {
          response.writeHead(200);
          response.flushHeaders();
        },
        event: (type, object) => void response.write(`${JSON.stringify({ type, object })}\n`),
      };
      asked.push(one);
      state.answer(one);
    });
    response.on('error', () => {});
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = clientOf(url);
  const close = async (): Promise<void> => {
    await client.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
  return Object.assign(state, { client, url, asked, cut: () => server.closeAllConnections(), close });
}

/** A meta/v1 Status, as the API server has them. */
export const status = (code: number, message: string) => ({ kind: 'Status', status: 'Failure', code, message });

/** A list of objects by name. */
export const listOf = (names: readonly string[], metadata: object = { resourceVersion: '10' }) => ({
  kind: 'List',
  metadata,
  items: names.map((name) => ({ metadata: { name, resourceVersion: '1' } })),
});
