import { createHmac, randomBytes } from 'node:crypto';

import type { Credential } from '../../detection/image-source.ts';
import { commonName } from '../hosts/pattern.ts';

/** A source of logins: a docker config file, mounted secrets. */
export interface CredentialSource {
  /**
   * Returns every login for a repository, most specific first. `host` is the registry's usual name, such as
   * `docker.io`.
   */
  find(host: string, repository: string): Promise<readonly Credential[]>;
}

/** A login and its registry: `host[:port][/path]`, as in a docker config file's `auths`. */
export interface KeyedCredential {
  readonly host: string;
  readonly credential: Credential;
}

interface Key {
  readonly labels: readonly string[];
  readonly port: string;
  readonly path: readonly string[];
}

/**
 * Returns the logins for a repository, most specific first: longer paths first, then hosts without `*`, then in the
 * order of `entries`. A `*` matches any text inside one label of the host name. Ports must be equal; path components
 * are compared whole. (kubelet: pkg/credentialprovider/keyring.go; containers-auth.json(5))
 */
export function matchCredentials(entries: readonly KeyedCredential[], host: string, repository: string): Credential[] {
  const target = parseKey(`${host}/${repository}`);
  return entries
    .map((entry) => ({ key: parseKey(entry.host), credential: entry.credential }))
    .filter(({ key }) => matches(key, target))
    .toSorted((a, b) => b.key.path.length - a.key.path.length || stars(a.key) - stars(b.key))
    .map(({ credential }) => credential);
}

/** Returns a source of the logins in a list. */
export function listedCredentials(entries: readonly KeyedCredential[]): CredentialSource {
  return { find: async (host, repository) => matchCredentials(entries, host, repository) };
}

/** Combines sources; the logins of the first one come first. */
export function combineCredentials(sources: readonly CredentialSource[]): CredentialSource {
  return {
    async find(host, repository) {
      const found = await Promise.all(sources.map((source) => source.find(host, repository)));
      return found.flat();
    },
  };
}

function parseKey(text: string): Key {
  // Docker writes the Hub as https://index.docker.io/v1/.
  const bare = text.replace(/^https?:\/\//i, '').replace(/\/v[12]\/?$/, '');
  const [authority = '', ...path] = bare.split('/').filter((part, index) => index === 0 || part !== '');
  const [, name = '', port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(authority.toLowerCase()) ?? [];
  return { labels: commonName(name).split('.'), port, path };
}

function matches(key: Key, target: Key): boolean {
  if (key.port !== target.port || key.labels.length !== target.labels.length) return false;
  if (!key.labels.every((label, index) => matchesLabel(label, target.labels[index] ?? ''))) return false;
  return key.path.length <= target.path.length && key.path.every((part, index) => part === target.path[index]);
}

function matchesLabel(pattern: string, label: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const end = rest.pop();
  if (end === undefined) return pattern === label && label !== '';
  if (!label.startsWith(first) || !label.endsWith(end)) return false;
  let at = first.length;
  // Taking the leftmost match is enough if the only wildcard is `*`, and keeps this linear.
  for (const piece of rest) {
    const found = label.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return at <= label.length - end.length;
}

function stars(key: Key): number {
  return key.labels.filter((label) => label.includes('*')).length;
}

/** The identity with which we send a request. */
export interface Identity {
  /** Absent for an anonymous request. */
  readonly credential?: Credential;
  /** Identifies the credential in cache keys without revealing it. */
  readonly key: string;
}

export const anonymous: Identity = { key: 'anonymous' };

/**
 * Returns a function that lists the identities to try for a repository: each credential once, in order, at most `most`;
 * then the anonymous one, because a public image is readable even if a stored login has expired.
 */
export function createIdentities(most: number): (credentials: readonly Credential[]) => Identity[] {
  const secret = randomBytes(32);
  const keyOf = ({ username, password, identityToken, registryToken }: Credential): string =>
    createHmac('sha256', secret)
      .update(JSON.stringify([username, password, identityToken, registryToken]))
      .digest('base64');
  return (credentials) => {
    const byKey = new Map(credentials.map((credential) => [keyOf(credential), credential]));
    const identities = [...byKey].slice(0, most).map(([key, credential]) => ({ key, credential }));
    return [...identities, anonymous];
  };
}

/** Returns the value of a Basic `Authorization` header (RFC 7617); undefined without user name and password. */
export function basicAuthorization({ credential }: Identity): string | undefined {
  if (credential === undefined || (credential.username === '' && credential.password === '')) return undefined;
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`, 'utf8').toString('base64')}`;
}
