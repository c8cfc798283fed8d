import { createHmac, randomBytes } from 'node:crypto';

import type { Credential } from '../../detection/image-source.ts';
import { commonName } from '../hosts/pattern.ts';

/** Where logins come from: a docker config file, mounted secrets. */
export interface CredentialSource {
  /**
   * Every login that may be used for a repository, most specific first. `host` is the registry as people name it
   * (`docker.io`, `localhost:5000`).
   */
  find(host: string, repository: string): Promise<readonly Credential[]>;
}

/** A login and the registry it is for: `host[:port][/path]`, as in a docker config file's `auths`. */
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
 * The logins among `entries` that are for a repository, most specific first: a longer path before a shorter, then a
 * host spelt out before one with `*`, then as listed. A `*` stands for any text inside one label of the host name. Ports
 * have to be the same; path components are compared whole. (kubelet: pkg/credentialprovider/keyring.go; containers-auth.json(5))
 */
export function matchCredentials(entries: readonly KeyedCredential[], host: string, repository: string): Credential[] {
  const target = parseKey(`${host}/${repository}`);
  return entries
    .map((entry) => ({ key: parseKey(entry.host), credential: entry.credential }))
    .filter(({ key }) => matches(key, target))
    .toSorted((a, b) => b.key.path.length - a.key.path.length || stars(a.key) - stars(b.key))
    .map(({ credential }) => credential);
}

/** The logins of a list. */
export function listedCredentials(entries: readonly KeyedCredential[]): CredentialSource {
  return { find: async (host, repository) => matchCredentials(entries, host, repository) };
}

/** Several sources, the first one's logins first. */
export function combineCredentials(sources: readonly CredentialSource[]): CredentialSource {
  return {
    async find(host, repository) {
      const found = await Promise.all(sources.map((source) => source.find(host, repository)));
      return found.flat();
    },
  };
}

function parseKey(text: string): Key {
  // https://index.docker.io/v1/ is how Docker has always written the Hub.
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
  // Leftmost matches suffice for a pattern of stars alone, and keep this linear.
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

/** Who we are to a registry. */
export interface Identity {
  /** Undefined: nobody. */
  readonly credential?: Credential;
  /** Tells identities apart in caches, and gives nothing of the credential away. */
  readonly key: string;
}

export const anonymous: Identity = { key: 'anonymous' };

/**
 * Makes the identities to try for a repository: each credential once, in the order given and at most `most`, then
 * nobody, for public images stay readable when a stored login has expired.
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

/** Value of an `Authorization` header for Basic (RFC 7617). Undefined where there is no name and password. */
export function basicAuthorization({ credential }: Identity): string | undefined {
  if (credential === undefined || (credential.username === '' && credential.password === '')) return undefined;
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`, 'utf8').toString('base64')}`;
}
