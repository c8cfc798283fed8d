import { type ClientRequest, request as httpRequest } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';

import type { buildConnector } from 'undici';

import { ImageSourceError } from '../../detection/image-source.ts';
import { basicAuthorization } from '../auth/credentials.ts';
import { type Authority, authorityOf, createNoProxy } from '../hosts/pattern.ts';
import type { RegistryLimits } from './limits.ts';
import { describeWireError } from './wire-error.ts';

/** A proxy as it is configured. */
export interface ProxyOptions {
  /** `http:` or `https:`, with a login if it has one. */
  readonly url: URL;
  /** Hosts asked directly, as `createNoProxy` reads them. */
  readonly noProxy: readonly string[];
}

/** The way to registries through a proxy. */
export interface RegistryProxy {
  /** Whether this origin is asked through it. What is spoken to without TLS is not, as with `HTTPS_PROXY` everywhere. */
  readonly carries: (origin: URL) => boolean;
  /** A connector that makes a tunnel, and TLS with the registry in it by `tls`; both in `limits.connectMs`. */
  readonly connector: (origin: URL, tls: buildConnector.connector) => buildConnector.connector;
}

interface RegistryProxyParts {
  readonly limits: RegistryLimits;
  readonly secureContext: SecureContext;
  readonly userAgent: string;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError('the login of the proxy is not percent-encoded as a URL has it');
  }
}

function serverOf(url: URL): ProxyServer {
  const { hostname, port } = authorityOf(url);
  const credential = { username: decoded(url.username), password: decoded(url.password) };
  const authorization = basicAuthorization({ credential, key: '' });
  return {
    secure: url.protocol === 'https:',
    hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    address: `${url.protocol}//${url.host}`,
    ...(authorization !== undefined && { authorization }),
  };
}

function secured(
  tls: buildConnector.connector,
  request: buildConnector.Options,
  httpSocket: Socket,
  signal: AbortSignal,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  tls({ ...request, httpSocket }, (error, socket) => (error === null ? resolve(socket) : reject(error)));
  // Nothing stays open below TLS that failed.
  promise.catch(() => httpSocket.destroy());
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}

function tooSlow({ hostname, port }: Authority, { address }: ProxyServer): ImageSourceError {
  return new ImageSourceError(
    'unavailable',
    `no connection to ${hostname}:${port} through the proxy ${address} in time`,
  );
}

/** Asks registries through a proxy. Throws a RangeError where its login cannot be read. */
export function createRegistryProxy({ url, noProxy }: ProxyOptions, parts: RegistryProxyParts): RegistryProxy {
  const proxy = serverOf(url);
  const isDirect = createNoProxy(noProxy);
  return {
    carries: (origin) => origin.protocol === 'https:' && !isDirect(authorityOf(origin)),
    connector: (origin, tls) => {
      const target = authorityOf(origin);
      const open = async (request: buildConnector.Options): Promise<Socket> => {
        const late = new AbortController();
        const timer = setTimeout(() => late.abort(tooSlow(target, proxy)), parts.limits.connectMs);
        try {
          const tunnel = await openTunnel(target, { ...parts, proxy, signal: late.signal });
          return await secured(tls, request, tunnel, late.signal);
        } finally {
          clearTimeout(timer);
        }
      };
      const answer = async (...[request, callback]: Parameters<buildConnector.connector>): Promise<void> => {
        const opened = await open(request).catch((error: Error) => error);
        if (opened instanceof Error) callback(opened, null);
        else callback(null, opened);
      };
      return (request, callback) => {
        void answer(request, callback);
      };
    },
  };
}

/** Where a proxy is, and who we are there. */
interface ProxyServer {
  readonly secure: boolean;
  /** Without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** For messages: `http://proxy.example:3128`. */
  readonly address: string;
  /** A `Proxy-Authorization` header. */
  readonly authorization?: string;
}

interface TunnelOptions {
  readonly proxy: ProxyServer;
  readonly limits: RegistryLimits;
  readonly secureContext: SecureContext;
  readonly userAgent: string;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

function connectTo({ secure, hostname, port }: ProxyServer, secureContext: SecureContext): Socket {
  if (!secure) return connectTcp({ host: hostname, port });
  const servername = isIP(hostname) === 0 ? { servername: hostname } : {};
  return connectTls({ host: hostname, port, secureContext, ALPNProtocols: ['http/1.1'], ...servername });
}

function ask(target: string, options: TunnelOptions): ClientRequest {
  const { proxy, limits, secureContext, userAgent } = options;
  return httpRequest({
    method: 'CONNECT',
    path: target,
    // Not the proxy's own name, which Node would take (RFC 9110 section 7.2).
    headers: {
      host: target,
      'user-agent': userAgent,
      ...(proxy.authorization !== undefined && { 'proxy-authorization': proxy.authorization }),
    },
    maxHeaderSize: limits.headerBytes,
    createConnection: () => connectTo(proxy, secureContext),
  });
}

const refused = ({ address }: ProxyServer, what: string): ImageSourceError =>
  new ImageSourceError('unavailable', `the proxy ${address} ${what}`);

function whyNot(status: number, target: string): string {
  if (status === 407) return `wants a login, or another one (407): HTTPS_PROXY or the chart's proxy.secret can hold it`;
  if (status === 403) return `does not let us connect to ${target} (403)`;
  return `could not connect to ${target} (${status})`;
}

/** The error of a connection to the proxy, in words that do not take it for the registry. */
function described(proxy: ProxyServer, error: NodeJS.ErrnoException): ImageSourceError {
  const code = error.code ?? '';
  if (code === 'HPE_HEADER_OVERFLOW') return refused(proxy, 'sent more headers than are read');
  if (code.startsWith('HPE_')) return refused(proxy, 'does not speak HTTP/1.1');
  if (/^EPROTO$|^ERR_SSL_/.test(code)) return refused(proxy, 'does not speak TLS: is it http://?');
  return describeWireError(`the proxy ${proxy.address}`, error);
}

/**
 * A connection to `target` through a proxy (RFC 9110 section 9.3.6), on which nothing has been sent. Rejects with `ImageSourceError`
 * `unavailable`, or with the signal's reason. The caller ends it in time: a proxy that does not answer is waited for.
 */
function openTunnel(target: Authority, options: TunnelOptions): Promise<Socket> {
  const { proxy, signal } = options;
  const name = `${target.hostname}:${target.port}`;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const asked = ask(name, options);
  const onAbort = (): void => {
    reject(signal.reason as Error);
    asked.destroy();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  asked.on('error', (error) => reject(described(proxy, error)));
  // Node gives every answer to CONNECT here, whatever its status.
  asked.on('connect', ({ statusCode = 0 }, socket, head) => {
    const good = statusCode >= 200 && statusCode < 300;
    if (good && head.length === 0) {
      // Whoever uses the connection hears of its end through TLS.
      socket.on('error', () => {});
      resolve(socket);
      return;
    }
    socket.on('error', () => {}).destroy();
    // In TLS the client speaks first: these bytes are not the registry's.
    reject(refused(proxy, good ? `sent more than an answer when asked for ${name}` : whyNot(statusCode, name)));
  });
  asked.end();
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}
