import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';

import type { buildConnector } from 'undici';

import { ImageSourceError } from '../detection/image-source.ts';
import { type Authority, authorityOf, createNoProxy } from './hosts/pattern.ts';
import { basicAuthorization } from './identity.ts';
import type { RegistryLimits } from './limits.ts';
import { openTunnel, type ProxyServer } from './proxy-tunnel.ts';

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

export interface RegistryProxyParts {
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
