import { type ClientRequest, request as httpRequest } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';

import type { buildConnector } from 'undici';

import { ImageSourceError } from '../../detection/image-source.ts';
import { basicAuthorization } from '../auth/credentials.ts';
import { type Authority, authorityOf, createNoProxy } from '../hosts/pattern.ts';
import type { RegistryLimits } from './limits.ts';
import { describeWireError } from './wire-error.ts';

/** The configured proxy. */
export interface ProxyOptions {
  /** `http:` or `https:`, with a login if it has one. */
  readonly url: URL;
  /** Hosts that bypass the proxy, as `createNoProxy` reads them. */
  readonly noProxy: readonly string[];
}

/** Connects to registries through a proxy. */
export interface RegistryProxy {
  /**
   * Reports whether requests to this origin go through the proxy. Plain HTTP never does, like `HTTPS_PROXY` elsewhere.
   */
  readonly carries: (origin: URL) => boolean;
  /**
   * Returns a connector that opens a tunnel, and TLS to the registry in it by `tls`; both within `limits.connectMs`.
   */
  readonly connector: (origin: URL, tls: buildConnector.connector) => buildConnector.connector;
}

interface RegistryProxyParts {
  readonly limits: RegistryLimits;
  readonly secureContext: SecureContext;
  readonly userAgent: string;
}

/** Returns the way through a proxy. Throws a RangeError if its login is not percent-encoded. */
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
          return await openTls(tls, request, tunnel, late.signal);
        } finally {
          clearTimeout(timer);
        }
      };
      const connect = async (...[request, callback]: Parameters<buildConnector.connector>): Promise<void> => {
        const opened = await open(request).catch((error: Error) => error);
        if (opened instanceof Error) callback(opened, null);
        else callback(null, opened);
      };
      return (request, callback) => {
        void connect(request, callback);
      };
    },
  };
}

function tooSlow({ hostname, port }: Authority, { address }: ProxyServer): ImageSourceError {
  return new ImageSourceError(
    'unavailable',
    `no connection to ${hostname}:${port} through the proxy ${address} in time`,
  );
}

function openTls(
  tls: buildConnector.connector,
  request: buildConnector.Options,
  httpSocket: Socket,
  signal: AbortSignal,
): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  tls({ ...request, httpSocket }, (error, socket) => (error === null ? resolve(socket) : reject(error)));
  // Closes the tunnel if TLS fails.
  promise.catch(() => httpSocket.destroy());
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}

/** The proxy's address, and our login there. */
interface ProxyServer {
  readonly secure: boolean;
  /** Without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** For messages: `http://proxy.example:3128`. */
  readonly address: string;
  /** The value of a `Proxy-Authorization` header. */
  readonly authorization?: string;
}

function serverOf(url: URL): ProxyServer {
  const { hostname, port } = authorityOf(url);
  const credential = { username: decodeLogin(url.username), password: decodeLogin(url.password) };
  const authorization = basicAuthorization({ credential, key: '' });
  return {
    secure: url.protocol === 'https:',
    hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    address: `${url.protocol}//${url.host}`,
    ...(authorization !== undefined && { authorization }),
  };
}

function decodeLogin(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError('the login of the proxy is not percent-encoded as a URL has it');
  }
}

interface TunnelOptions {
  readonly proxy: ProxyServer;
  readonly limits: RegistryLimits;
  readonly secureContext: SecureContext;
  readonly userAgent: string;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/**
 * Opens a connection to `target` through a proxy (RFC 9110 section 9.3.6). Rejects with `ImageSourceError`
 * `unavailable` or the signal's reason. Has no timeout of its own: the caller aborts the signal.
 */
function openTunnel(target: Authority, options: TunnelOptions): Promise<Socket> {
  const { proxy, signal } = options;
  const name = `${target.hostname}:${target.port}`;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const request = connectRequest(name, options);
  const onAbort = (): void => {
    reject(signal.reason as Error);
    request.destroy();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  request.on('error', (error) => reject(describeProxyError(proxy, error)));
  // Node emits `connect` for every response to CONNECT, whatever its status.
  request.on('connect', ({ statusCode = 0 }, socket, head) => {
    const good = statusCode >= 200 && statusCode < 300;
    if (good && head.length === 0) {
      // TLS reports the errors of the connection to its user.
      socket.on('error', () => {});
      resolve(socket);
      return;
    }
    socket.on('error', () => {}).destroy();
    // In TLS the client speaks first: these bytes are not the registry's.
    reject(proxyError(proxy, good ? `sent more than an answer when asked for ${name}` : whyNot(statusCode, name)));
  });
  request.end();
  return promise.finally(() => signal.removeEventListener('abort', onAbort));
}

function connectRequest(target: string, options: TunnelOptions): ClientRequest {
  const { proxy, limits, secureContext, userAgent } = options;
  return httpRequest({
    method: 'CONNECT',
    path: target,
    // The target's name (RFC 9110 section 7.2); Node would send the proxy's.
    headers: {
      host: target,
      'user-agent': userAgent,
      ...(proxy.authorization !== undefined && { 'proxy-authorization': proxy.authorization }),
    },
    maxHeaderSize: limits.headerBytes,
    createConnection: () => connectTo(proxy, secureContext),
  });
}

function connectTo({ secure, hostname, port }: ProxyServer, secureContext: SecureContext): Socket {
  if (!secure) return connectTcp({ host: hostname, port });
  const servername = isIP(hostname) === 0 ? { servername: hostname } : {};
  return connectTls({ host: hostname, port, secureContext, ALPNProtocols: ['http/1.1'], ...servername });
}

const proxyError = ({ address }: ProxyServer, what: string): ImageSourceError =>
  new ImageSourceError('unavailable', `the proxy ${address} ${what}`);

/** Describes an error of the connection to the proxy, so that it does not read like one of the registry. */
function describeProxyError(proxy: ProxyServer, error: NodeJS.ErrnoException): ImageSourceError {
  const code = error.code ?? '';
  if (code === 'HPE_HEADER_OVERFLOW') return proxyError(proxy, 'sent more headers than are read');
  if (code.startsWith('HPE_')) return proxyError(proxy, 'does not speak HTTP/1.1');
  if (/^EPROTO$|^ERR_SSL_/.test(code)) return proxyError(proxy, 'does not speak TLS: is it http://?');
  return describeWireError(`the proxy ${proxy.address}`, error);
}

function whyNot(status: number, target: string): string {
  if (status === 407) return `wants a login, or another one (407): HTTPS_PROXY or the chart's proxy.secret can hold it`;
  if (status === 403) return `does not let us connect to ${target} (403)`;
  return `could not connect to ${target} (${status})`;
}
