import { ImageSourceError, type ImageSources } from '../detection/image-source.ts';
import { createAuthorization } from './auth/authorization.ts';
import type { CredentialSource } from './auth/credentials.ts';
import { createTokens } from './auth/token.ts';
import { endpointsOf, type Mirror, parseMirror, registryAuthority } from './endpoint.ts';
import { authorityOf, commonName } from './hosts/pattern.ts';
import { createHostRules, type HostLists, type HostRules } from './hosts/rules.ts';
import { defaultLimits, type RegistryLimits } from './http/limits.ts';
import { createTransport, type TransportOptions } from './http/transport.ts';
import { canonicalName, parseReference, type Reference } from './reference.ts';
import { createRepositoryRequests } from './repository.ts';
import { createRegistrySource } from './source.ts';
import { createTagChecks } from './tag-check.ts';

export interface RegistryClientOptions extends HostLists, TransportOptions {
  /** Mirrors to try before each registry, in order: `{ 'docker.io': ['https://mirror.example/hub'] }`. */
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  readonly credentials: CredentialSource;
  readonly limits?: Partial<RegistryLimits>;
}

export interface RegistryClient extends ImageSources {
  /** Closes all connections; requests under way reject. */
  readonly close: () => Promise<void>;
}

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
  const { exchange, close } = createTransport(options, rules, limits);
  const tokens = createTokens({ exchange, limits, clock: options.clock });
  const authorization = createAuthorization(tokens, limits);
  const admits = (origin: string, repository: string): boolean =>
    rules.refuseRepository(authorityOf(new URL(origin)), repository) === undefined;
  const { credentials } = options;
  const send = createRepositoryRequests({ exchange, authorization, credentials, admits, limits });
  const tagChecks = createTagChecks({ send, limits, clock: options.clock });
  return {
    open(text) {
      const reference = parseReference(text);
      refuseForbidden(reference, rules);
      const endpoints = endpointsOf(reference, mirrors.get(reference.host) ?? [], rules);
      return createRegistrySource({ reference, endpoints, send, tagChecks, limits });
    },
    canonical: canonicalName,
    close,
  };
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
