import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

import { expect, onTestFinished } from 'vitest';

import type { Credential, LookupContext } from '../../src/detection/image-source.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import type { RegistryClientOptions } from '../../src/registry/client.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from './registry-harness.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string;
  /** First and last byte of a Range. */
  readonly range: readonly [number, number] | undefined;
  /** What the path names in the image; undefined if it names none. */
  readonly content: Buffer | undefined;
  readonly base: string;
}

export interface Answer {
  readonly status?: number;
  readonly body?: Buffer | string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Sends no Content-Length. */
  readonly chunked?: boolean;
}

export type Handler = (asked: Asked) => Answer | undefined;

export const alice: Credential = { username: 'alice', password: 'secret' };
export const basicOfAlice = `Basic ${Buffer.from('alice:secret').toString('base64')}`;
const built = sampleImage(300_000);
const [layerDigest = '', layerBytes = Buffer.alloc(0)] =
  [...built.blobs].find(([, { length }]) => length > 100_000) ?? [];
export const layer = Buffer.from(layerBytes);

/** Starts a registry for the image team/app that answers what `handler` says, else like an open registry. */
export async function serve(handler: Handler): Promise<{ host: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const one = read(request, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    asked.push(one);
    const { status = 200, body = '', headers = {}, chunked = false } = handler(one) ?? open(one);
    const bytes = Buffer.from(body as Buffer);
    response.writeHead(status, { ...(chunked ? {} : { 'content-length': bytes.length }), ...headers });
    response.end(bytes);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function read({ method = '', url = '', headers }: IncomingMessage, base: string): Asked {
  const { pathname, searchParams } = new URL(url, base);
  const version = pathname.split('/').at(-1) ?? '';
  const bytes = built.blobs.get(version) ?? built.manifests.get(version === 'v1' ? built.digest : version)?.bytes;
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  return {
    method,
    path: pathname,
    query: searchParams,
    authorization: headers.authorization ?? '',
    range: first === undefined ? undefined : [Number(first), Number(last)],
    content: /^(?:\/storage)?\/v2\//.test(pathname) && bytes !== undefined ? Buffer.from(bytes) : undefined,
    base,
  };
}

export function open({ path, range, content }: Asked): Answer {
  if (path === '/token') return { body: '{"token":"tok"}' };
  if (content === undefined) return { status: path === '/v2/' ? 200 : 404 };
  if (range === undefined) return { body: content };
  const [first, last] = range;
  const part = content.subarray(first, last + 1);
  return { status: 206, body: part, headers: partOf(first, part.length) };
}

export const partOf = (first: number, length: number) => ({
  'content-range': `bytes ${first}-${first + length - 1}/${layer.length}`,
});
export const isLayer = ({ path }: Asked) => path.endsWith(layerDigest);
export const refused = (challenge?: string | string[], status = 401): Answer => ({
  status,
  headers: challenge === undefined ? {} : { 'www-authenticate': challenge },
});

/** Reads manifest, configuration and the layer from `offset`; checks that the bytes are the layer's. */
export async function look(
  host: string,
  options: Partial<RegistryClientOptions> = {},
  offset = 0,
  context = lookupContext(),
) {
  const client = testClient({ insecure: ['127.0.0.1'], ...options });
  onTestFinished(client.close);
  const source = client.open(`${host}/team/app:v1`);
  const manifest = await source.manifest(amd64, context);
  const config = await source.config(manifest, context);
  expect(config.entrypoint).toEqual(['/bin/app']);
  const bytes = await collect(source.read(manifest.layers[0]!, offset, 1000, context));
  expect(bytes.equals(layer.subarray(offset, offset + 1000))).toBe(true);
  return { context, again: async (next: LookupContext) => await source.manifest(amd64, next) };
}

export const withLogin = (host: string, credential = alice) => ({
  credentials: listedCredentials([{ host, credential }]),
});
