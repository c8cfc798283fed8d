import { X509Certificate } from 'node:crypto';
import type { LookupFunction, Socket } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

import { Agent, buildConnector, Client, type Dispatcher, Pool } from 'undici';

import { ImageSourceError } from '../../detection/image-source.ts';
import { parseAddress } from '../hosts/address.ts';
import { type Authority, authorityOf } from '../hosts/pattern.ts';
import type { HostRules } from '../hosts/rules.ts';
import type { RegistryLimits } from './limits.ts';
import type { Names, ResolvedAddress } from './names.ts';
import type { RegistryProxy } from './proxy.ts';

interface DispatcherOptions {
  readonly rules: HostRules;
  /** Knows the name's addresses already. */
  readonly names: Pick<Names, 'found'>;
  readonly limits: RegistryLimits;
  readonly secureContext: SecureContext;
  readonly connections: Connections;
  /** Connect only to the networks of the allow list. */
  readonly listedOnly: boolean;
  /** Absent: requests go to every host directly. */
  readonly proxy?: RegistryProxy | undefined;
}

/**
 * Returns a TLS context that trusts the system's certificates and those in `ca` (PEM). Call it once: it takes tens of
 * milliseconds. Throws a RangeError if `ca` holds no certificate, or a broken one, which OpenSSL would skip.
 */
export function trustContext(ca: string | undefined): SecureContext {
  if (ca === undefined) return createSecureContext();
  const blocks = ca.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || !blocks.every(isCertificate)) {
    throw new RangeError('caFile has to hold certificates in PEM: it has none, or one that cannot be read');
  }
  return createSecureContext({ ca: [...getCACertificates('default'), ...blocks] });
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

/** Counts the connections of a process: Pods name any number of hosts, and each keeps its connection open for a while. */
export interface Connections {
  /** Counts a connection until it closes. If there are more than the limit, the idle ones used least recently are closed. */
  opened(pool: Pool, socket: Socket): void;
  used(pool: Pool): void;
}

const isIdle = ({ stats: { running, pending, queued } }: Pool): boolean => running + pending + queued === 0;

export function createConnections({ connections: most }: Pick<RegistryLimits, 'connections'>): Connections {
  /** The least recently used pool first. */
  const pools = new Map<Pool, Set<Socket>>();
  let count = 0;
  const closeIdle = (): void => {
    while (count > most) {
      const idle = pools.entries().find(([pool]) => isIdle(pool));
      if (idle === undefined) return;
      const [pool, sockets] = idle;
      pools.delete(pool);
      count -= sockets.size;
      for (const socket of sockets) socket.destroy();
    }
  };
  return {
    opened(pool, socket) {
      pools.set(pool, (pools.get(pool) ?? new Set()).add(socket));
      count += 1;
      socket.once('close', () => {
        const sockets = pools.get(pool);
        if (sockets?.delete(socket) !== true) return;
        count -= 1;
        if (sockets.size === 0) pools.delete(pool);
      });
      closeIdle();
    },
    used(pool) {
      const sockets = pools.get(pool);
      if (sockets === undefined) return;
      pools.delete(pool);
      pools.set(pool, sockets);
    },
  };
}

/**
 * Returns an HTTP/1.1 client that checks every connection when it is made: it connects to the very address that passed
 * the rules. A proxy looks names up itself: the rules then see only the host as the URL spells it.
 */
export function createDispatcher(options: DispatcherOptions): Agent {
  const { limits, connections } = options;
  const settings = {
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    bodyTimeout: limits.idleMs,
    keepAliveTimeout: 15_000,
    keepAliveMaxTimeout: 30_000,
  };
  return new Agent({
    ...settings,
    factory(origin) {
      const connect = connectorFor(new URL(origin), options);
      const pool: Pool = new CountedPool(origin, connections, {
        ...settings,
        connect: (request, callback) =>
          connect(request, (...result) => {
            if (result[0] === null) connections.opened(pool, result[1]);
            callback(...result);
          }),
        factory: (url, given) => createCountedClient(url, given as Parameters<typeof createCountedClient>[1], limits),
      });
      return pool;
    },
  });
}

/** What a connection has received for the answer under way. */
interface Count {
  socket?: Socket;
  /** `bytesRead` of the socket when the request began. */
  from: number;
  /** Bytes of the body that have come out. */
  body: number;
}

/**
 * One connection, whose answers may not hold much besides their bodies. undici's parser bounds headers and trailers, and passes over
 * the rest without a limit (extensions of chunks): it would read that as fast as it comes, and call it silence.
 */
class CountedClient extends Client {
  readonly #count: Count;

  constructor(origin: string | URL, options: Client.Options, count: Count) {
    super(origin, options);
    this.#count = count;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const count = this.#count;
    return super.dispatch(options, {
      onRequestStart(controller, context) {
        count.from = count.socket?.bytesRead ?? 0;
        count.body = 0;
        handler.onRequestStart?.(controller, context);
      },
      onResponseStart: (...start) => handler.onResponseStart?.(...start),
      onResponseData(controller, chunk) {
        count.body += chunk.length;
        handler.onResponseData?.(controller, chunk);
      },
      onResponseEnd: (...end) => handler.onResponseEnd?.(...end),
      onResponseError: (...error) => handler.onResponseError?.(...error),
    });
  }
}

/** Creates a connection to `origin` that ends if an answer holds more than `overheadBytes` and half of its body besides the body. */
function createCountedClient(
  origin: URL,
  options: Client.Options & { readonly connect: buildConnector.connector },
  { overheadBytes }: Pick<RegistryLimits, 'overheadBytes'>,
): Client {
  const count: Count = { from: 0, body: 0 };
  const { connect } = options;
  return new CountedClient(
    origin,
    {
      ...options,
      connect: (request, callback) =>
        connect(request, (...result) => {
          const [, socket] = result;
          if (socket !== null) count.socket = socket;
          socket?.on('readable', () => {
            const besides = socket.bytesRead - count.from - count.body;
            if (besides <= overheadBytes + count.body / 2) return;
            const message = `${origin.host} sent more than ${overheadBytes} bytes besides the body of its answer`;
            socket.destroy(new ImageSourceError('invalid-answer', message));
          });
          callback(...result);
        }),
    },
    count,
  );
}

class CountedPool extends Pool {
  readonly #connections: Connections;

  constructor(origin: string | URL, connections: Connections, options: Pool.Options) {
    super(origin, options);
    this.#connections = connections;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#connections.used(this);
    return super.dispatch(options, handler);
  }
}

function connectorFor(origin: URL, options: DispatcherOptions): buildConnector.connector {
  const authority = authorityOf(origin);
  const transport = options.rules.transport(authority);
  const settings = {
    timeout: options.limits.connectMs,
    allowH2: false,
    maxCachedSessions: 1,
    secureContext: options.secureContext,
    // An entry for plain HTTP says nothing about certificates.
    rejectUnauthorized: transport.verify || transport.protocol === 'http:',
  };
  if (options.proxy?.carries(origin) === true) {
    return guardedTunnel(authority, options, options.proxy.connector(origin, buildConnector(settings)));
  }
  const connect = buildConnector({ ...settings, lookup: guardedLookup(authority, options) });
  return (request, callback) => {
    // An address needs no look-up, so net would not ask guardedLookup.
    if (parseAddress(request.hostname) !== undefined) {
      const why = options.rules.refuseAddress(authority, request.hostname, options.listedOnly);
      if (why !== undefined) return callback(refusedAddress(authority, authority.hostname, why), null);
    }
    return connect(request, callback);
  };
}

function guardedTunnel(
  authority: Authority,
  { rules, listedOnly }: DispatcherOptions,
  connect: buildConnector.connector,
): buildConnector.connector {
  return (request, callback) => {
    const why = rules.refuseUnresolved(authority, listedOnly);
    if (why !== undefined) return callback(refusedAddress(authority, authority.hostname, why), null);
    return connect(request, callback);
  };
}

function guardedLookup(authority: Authority, options: DispatcherOptions): LookupFunction {
  const find = (hostname: string): readonly ResolvedAddress[] | Error => {
    try {
      return permitted(authority, options.names.found(hostname), options);
    } catch (error) {
      return error as Error;
    }
  };
  return (hostname, { all }, callback) => {
    const addresses = find(hostname);
    // `net` expects its answer in a later turn, as from the system.
    queueMicrotask(() => {
      if (addresses instanceof Error) callback(addresses, []);
      else if (all === true) callback(null, [...addresses]);
      else callback(null, addresses[0]?.address ?? '', addresses[0]?.family);
    });
  };
}

function permitted(
  authority: Authority,
  found: readonly ResolvedAddress[],
  { rules, listedOnly }: DispatcherOptions,
): readonly ResolvedAddress[] {
  const checked = found.map((entry) => ({ entry, why: rules.refuseAddress(authority, entry.address, listedOnly) }));
  const good = checked.filter(({ why }) => why === undefined).map(({ entry }) => entry);
  if (good.length > 0) return good;
  const [refused] = checked;
  if (refused === undefined) throw new ImageSourceError('unavailable', `${authority.hostname} resolves to no address`);
  throw refusedAddress(authority, refused.entry.address, refused.why ?? '');
}

function refusedAddress({ hostname, port }: Authority, address: string, why: string): ImageSourceError {
  const where = address === hostname ? hostname : `${hostname} resolves to ${address}, which`;
  return new ImageSourceError(
    'forbidden-host',
    `${where} is refused (${why}): if it is meant, list ${hostname}:${port} in detection.registry.allow`,
  );
}
