import { lookup } from 'node:dns/promises';

import { ImageSourceError, type ImageSources } from '../detection/image-source.ts';
import type { Clock } from '../util/clock.ts';
import { createAuthorization } from './auth/authorization.ts';
import type { CredentialSource } from './auth/credentials.ts';
import { createTokens } from './auth/token.ts';
import { endpointsOf, type Mirror, parseMirror, registryAuthority } from './endpoint.ts';
import { commonName } from './hosts/pattern.ts';
import { createHostRules, type HostLists, type HostRules } from './hosts/rules.ts';
import { createDispatcher, type Resolve, trustContext } from './http/dispatcher.ts';
import { createExchange, type RequestEvent } from './http/exchange.ts';
import { type BreakerState, createHostStates } from './http/host-state.ts';
import { defaultLimits, type RegistryLimits } from './http/limits.ts';
import { createRegistryProxy, type ProxyOptions } from './http/proxy.ts';
import { canonicalName, parseReference, type Reference } from './reference.ts';
import { createRepositoryRequests } from './repository.ts';
import { createRegistrySource } from './source.ts';

export interface RegistryClientOptions extends HostLists {
  /** Mirrors to try before each registry, in order: `{ 'docker.io': ['https://mirror.example/hub'] }`. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  /** Look-ups that talk to one host at a time. */
  readonly concurrency: number;
  readonly credentials: CredentialSource;
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string;
  /** Absent: no proxy, whatever the environment says. */
  readonly proxy?: ProxyOptions | undefined;
  readonly userAgent: string;
  readonly clock: Clock;
  /** Default: the system's `getaddrinfo`. */
  readonly resolve?: Resolve;
  readonly limits?: Partial<RegistryLimits>;
  readonly onRequest?: (event: RequestEvent) => void;
  readonly onBreaker?: (event: { readonly host: string; readonly state: BreakerState }) => void;
}

export interface RegistryClient extends ImageSources {
  /** Closes all connections; requests under way reject. */
  readonly close: () => Promise<void>;
}

const systemResolve: Resolve = async (hostname) => await lookup(hostname, { all: true });

/**
 * Returns a client for OCI distribution registries. Reads nothing from the environment. Throws a RangeError for an
 * invalid entry of a list; `open` and `canonical` throw `ImageSourceError` `invalid-reference`, `open` also
 * `forbidden-host`.
 */
export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  const limits = { ...defaultLimits, ...options.limits };
  const mirrors = readMirrors(options.mirrors);
  const all = [...mirrors.values()].flat();
  const authorities = all.map(({ authority }) => authority);
  const rules = createHostRules(withPlainMirrors(options, all), authorities);
  const { send, close } = createTransport(options, rules, limits);
  return {
    open(text) {
      const reference = parseReference(text);
      refuseForbidden(reference, rules);
      const endpoints = endpointsOf(reference, mirrors.get(reference.host) ?? [], rules);
      return createRegistrySource({ reference, endpoints, send, limits });
    },
    canonical: canonicalName,
    close,
  };
}

function createTransport(options: RegistryClientOptions, rules: HostRules, limits: RegistryLimits) {
  const resolve = options.resolve ?? systemResolve;
  const { userAgent } = options;
  const secureContext = trustContext(options.ca);
  const proxy = options.proxy && createRegistryProxy(options.proxy, { limits, secureContext, userAgent });
  const shared = { rules, resolve, limits, secureContext, proxy };
  const anywhere = createDispatcher({ ...shared, listedOnly: false });
  const listed = createDispatcher({ ...shared, listedOnly: true });
  const exchange = createExchange({
    ...options,
    rules,
    limits,
    hosts: createHostStates({ ...options, limits }),
    dispatcher: (listedOnly) => (listedOnly ? listed : anywhere),
  });
  const tokens = createTokens({ exchange, limits, clock: options.clock });
  const authorization = createAuthorization(tokens, limits);
  const send = createRepositoryRequests({ exchange, authorization, credentials: options.credentials, limits });
  const close = async (): Promise<void> => {
    await Promise.all([anywhere.destroy(), listed.destroy()]);
  };
  return { send, close };
}

function readMirrors(mirrors: RegistryClientOptions['mirrors']): Map<string, Mirror[]> {
  return new Map(
    Object.entries(mirrors).map(([host, urls]) => [commonName(host.toLowerCase()), urls.map(parseMirror)]),
  );
}

/** Adds mirrors written with `http://` to the insecure hosts. */
function withPlainMirrors(lists: HostLists, mirrors: readonly Mirror[]): HostLists {
  const plain = mirrors.filter(({ url }) => url.protocol === 'http:').map(({ authority }) => authority);
  const insecure = plain.map(({ hostname, port }) => `http://${hostname}:${port}`);
  return { ...lists, insecure: [...lists.insecure, ...insecure] };
}

function refuseForbidden(reference: Reference, rules: HostRules): void {
  const authority = registryAuthority(reference, rules);
  const why = rules.refuseRepository(authority, reference.repository);
  if (why === undefined) return;
  const name = `${reference.host}/${reference.repository}`;
  throw new ImageSourceError('forbidden-host', `${name} is not looked at: ${why} (detection.registry.allow and deny)`);
}
