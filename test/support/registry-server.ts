import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** An image to serve. */
export interface ImageContent {
  /** Digest of the manifest or index that a tag points to. */
  readonly digest: string;
  readonly mediaType: string;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  readonly manifests: ReadonlyMap<string, { readonly mediaType: string; readonly bytes: Uint8Array }>;
}

export interface Recorded {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

/** How the registry mishandles a request. */
export type Fault =
  | { readonly kind: 'hang' }
  | { readonly kind: 'reset' }
  /** Sends headers and so many bytes of the body, then resets the connection. */
  | { readonly kind: 'reset-mid-body'; readonly after: number }
  | { readonly kind: 'stall-mid-body'; readonly after: number }
  /** Endless headers: one that grows, or many small ones. */
  | { readonly kind: 'endless-headers' }
  | { readonly kind: 'endless-interim' }
  | { readonly kind: 'many-headers'; readonly count: number }
  | { readonly kind: 'content-length'; readonly claim: number }
  /** Sends the right body with one byte changed. */
  | { readonly kind: 'corrupt' }
  | { readonly kind: 'not-http' }
  /** Sends these bytes instead of a response, then closes the connection. */
  | { readonly kind: 'raw'; readonly bytes: string }
  | { readonly kind: 'endless-body' }
  /** Sends a body without end in chunks of one byte. */
  | { readonly kind: 'endless-pieces' }
  /** Sends a chunk whose extension has no end, after `body` bytes. */
  | { readonly kind: 'endless-extension'; readonly body: number }
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string | string[]>>;
      readonly body?: string | Uint8Array;
    };

interface BearerAuth {
  readonly kind: 'bearer';
  readonly realm: string;
  readonly service: string;
  readonly verify: (token: string, scope: string) => boolean;
}

export interface RegistryServerOptions {
  readonly auth?: { readonly kind: 'basic'; readonly username: string; readonly password: string } | BearerAuth;
  /** Default true. If false, answers a range request with 200 and the whole blob. */
  readonly range?: boolean;
  /** Milliseconds added to each response, like a round trip. */
  readonly delayMs?: number;
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Called for each request before it is answered. */
  readonly fault?: (request: Recorded) => Fault | undefined;
  /** Redirects blob requests to this URL with the blob's path appended. */
  readonly blobsAt?: string;
  readonly port?: number;
}

export interface RegistryServer {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly url: string;
  readonly requests: Recorded[];
  /** Response body bytes written so far. */
  readonly bytesSent: () => number;
  /** The most requests that were open at once. */
  readonly mostAtOnce: () => number;
  /** Connections taken so far. */
  readonly connections: () => number;
  /** Stores an image as `team/app:v1` (default tag `latest`). Returns its reference, `host/team/app:v1`. */
  put(name: string, image: ImageContent): string;
  readonly close: () => Promise<void>;
}

interface State {
  readonly options: RegistryServerOptions;
  readonly blobs: Map<string, Uint8Array>;
  readonly manifests: Map<string, { readonly mediaType: string; readonly bytes: Uint8Array; readonly digest: string }>;
  readonly requests: Recorded[];
  sent: number;
  open: number;
  most: number;
}

/** Starts an OCI distribution registry on loopback, in memory, that can misbehave on purpose. */
export async function startRegistry(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const state: State = { options, blobs: new Map(), manifests: new Map(), requests: [], sent: 0, open: 0, most: 0 };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    state.open += 1;
    state.most = Math.max(state.most, state.open);
    response.on('close', () => {
      state.open -= 1;
    });
    handle(state, request, response).catch(() => request.socket.destroy());
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  const host = `127.0.0.1:${await listen(server, options.port ?? 0)}`;
  return {
    host,
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}`,
    requests: state.requests,
    bytesSent: () => state.sent,
    mostAtOnce: () => state.most,
    connections: () => connections,
    put(name, image) {
      const [repository = '', tag = 'latest'] = name.split(':');
      for (const [digest, bytes] of image.blobs) state.blobs.set(`${repository}@${digest}`, bytes);
      for (const [digest, manifest] of image.manifests) {
        state.manifests.set(`${repository}@${digest}`, { ...manifest, digest });
        if (digest === image.digest) state.manifests.set(`${repository}@${tag}`, { ...manifest, digest });
      }
      return `${host}/${repository}:${tag}`;
    },
    close: async () => await stop(server),
  };
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { options } = state;
  const recorded = { method: request.method ?? '', path: request.url ?? '', headers: request.headers };
  state.requests.push(recorded);
  if (options.delayMs !== undefined) await wait(options.delayMs);
  const fault = options.fault?.(recorded);
  if (fault !== undefined && misbehave(fault, response)) return;
  const url = new URL(recorded.path, 'http://registry');
  const [, repository = '', kind = '', version = ''] =
    /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
  if (!isAuthorized(options.auth, request, response, repository)) return;
  send(state, response, answerFor(state, url.pathname, { kind, key: `${repository}@${version}` }, request), fault);
}

interface Reply {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

function answerFor(
  { options, manifests, blobs }: State,
  path: string,
  { kind, key }: { readonly kind: string; readonly key: string },
  request: IncomingMessage,
): Reply {
  if (path === '/v2/') return { status: 200, headers: {}, body: Buffer.from('{}') };
  if (kind === 'blobs' && options.blobsAt !== undefined) {
    return { status: 307, headers: { location: `${options.blobsAt}${request.url}` }, body: Buffer.alloc(0) };
  }
  const manifest = kind === 'manifests' ? manifests.get(key) : undefined;
  if (manifest !== undefined) {
    const headers = { 'content-type': manifest.mediaType, 'docker-content-digest': manifest.digest };
    return { status: 200, headers, body: manifest.bytes };
  }
  const blob = kind === 'blobs' ? blobs.get(key) : undefined;
  if (blob !== undefined) return blobAnswer(blob, options.range === false ? undefined : request.headers.range);
  const code = kind === 'blobs' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN';
  return { status: 404, headers: {}, body: Buffer.from(JSON.stringify({ errors: [{ code, message: 'unknown' }] })) };
}

function blobAnswer(blob: Uint8Array, range: string | undefined): Reply {
  const type = { 'content-type': 'application/octet-stream' };
  const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? '');
  if (asked === null) return { status: 200, headers: type, body: blob };
  const first = Number(asked[1]);
  const last = Math.min(asked[2] === '' ? blob.length - 1 : Number(asked[2]), blob.length - 1);
  if (first > last) {
    return { status: 416, headers: { 'content-range': `bytes */${blob.length}` }, body: Buffer.alloc(0) };
  }
  const headers = { ...type, 'content-range': `bytes ${first}-${last}/${blob.length}` };
  return { status: 206, headers, body: blob.subarray(first, last + 1) };
}

function isAuthorized(
  auth: RegistryServerOptions['auth'],
  request: IncomingMessage,
  response: ServerResponse,
  repository: string,
): boolean {
  if (auth === undefined) return true;
  const given = request.headers.authorization ?? '';
  const scope = `repository:${repository}:pull`;
  if (auth.kind === 'basic') {
    if (given === `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`) return true;
    response.setHeader('www-authenticate', 'Basic realm="registry, private"');
  } else {
    if (given.startsWith('Bearer ') && auth.verify(given.slice(7), scope)) return true;
    response.setHeader('www-authenticate', `Bearer realm="${auth.realm}",service="${auth.service}",scope="${scope}"`);
  }
  response.writeHead(401, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED' }] }));
  return false;
}

/** Handles faults that replace the whole response. Returns false if the fault changes a normal response. */
function misbehave(fault: Fault, response: ServerResponse): boolean {
  const socket = response.socket as Socket;
  switch (fault.kind) {
    case 'hang':
      return true;
    case 'reset':
      socket.resetAndDestroy();
      return true;
    case 'not-http':
      socket.end('SSH-2.0-OpenSSH_9.2p1\r\n');
      return true;
    case 'raw':
      socket.end(fault.bytes);
      return true;
    case 'endless-headers':
      socket.write('HTTP/1.1 200 OK\r\n');
      flood(socket, 'x-more: 0123456789\r\n'.repeat(200));
      return true;
    case 'endless-interim':
      flood(socket, 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(50));
      return true;
    case 'endless-body':
      response.writeHead(200, { 'content-type': 'application/json' });
      flood(response, ' '.repeat(16 * 1024));
      return true;
    case 'endless-pieces':
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      flood(socket, '1\r\n \r\n'.repeat(5000));
      return true;
    case 'endless-extension':
      socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunkOf(fault.body)}1;x=`);
      flood(socket, 'y'.repeat(16 * 1024));
      return true;
    case 'many-headers':
      for (let index = 0; index < fault.count; index += 1) response.setHeader(`x-${index}`, '1');
      return false;
    case 'answer':
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      return true;
    default:
      return false;
  }
}

const chunkOf = (length: number): string => (length === 0 ? '' : `${length.toString(16)}\r\n${' '.repeat(length)}\r\n`);

function flood(stream: Socket | ServerResponse, text: string): void {
  const more = (): void => {
    while (!stream.destroyed && stream.write(text));
  };
  stream.on('drain', more);
  stream.on('error', () => {});
  more();
}

function send(state: State, response: ServerResponse, { status, headers, body }: Reply, fault?: Fault): void {
  const claim = fault?.kind === 'content-length' ? fault.claim : body.length;
  response.writeHead(status, { ...headers, 'content-length': claim });
  if (fault?.kind === 'reset-mid-body' || fault?.kind === 'stall-mid-body') {
    state.sent += fault.after;
    response.write(body.subarray(0, fault.after), () => {
      if (fault.kind === 'reset-mid-body') response.socket?.destroy();
    });
    return;
  }
  state.sent += response.req.method === 'HEAD' ? 0 : body.length;
  if (fault?.kind === 'content-length') {
    response.write(body, () => response.socket?.destroy());
    return;
  }
  response.end(fault?.kind === 'corrupt' ? corrupted(body) : body);
}

function corrupted(body: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(body);
  const last = copy.length - 1;
  copy[last] = (copy[last] ?? 0) ^ 1;
  return copy;
}
