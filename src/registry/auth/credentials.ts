import { createHmac, randomBytes } from 'node:crypto';

import type { Credential } from '../../detection/image-source.ts';
import { hubHost } from '../hosts/pattern.ts';

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
  /** As the kubelet sorts it: host, port and path. */
  readonly text: string;
  readonly labels: readonly string[];
  readonly port: string;
  readonly path: string;
}

// No reference is longer. It bounds what comparing the keys of a hostile Secret costs.
const longestKey = 1024;
const longestLabel = 63; // RFC 1035 section 2.3.4

/**
 * Returns the logins for a repository as the kubelet finds them (pkg/credentialprovider/keyring.go), in its order: keys
 * sorted backwards, so that a longer path comes first and a wildcard last. Hosts have as many labels as the key, ports are equal, the
 * path begins with that of the key. In a label `*`, `?`, `[0-9]` and `[^a]` match as in Go's path.Match. Logins for index.docker.io count
 * for Docker Hub if no other does.
 */
export function matchCredentials(entries: readonly KeyedCredential[], host: string, repository: string): Credential[] {
  const target = parseKey(`${host}/${repository}`);
  const all = entries
    .filter((entry) => entry.host.length <= longestKey)
    .map((entry) => ({ key: parseKey(entry.host), credential: entry.credential }));
  const found = all.filter(({ key }) => matches(key, target));
  const chosen = found.length > 0 || host !== hubHost ? found : all.filter(({ key }) => hubKeys.has(key.text));
  return chosen
    .toSorted((a, b) => Number(a.key.text < b.key.text) - Number(a.key.text > b.key.text))
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

// The kubelet knows the first, which Docker writes as https://index.docker.io/v1/.
const hubKeys = new Set(['index.docker.io', 'registry-1.docker.io']);

function parseKey(text: string): Key {
  const bare = text.replace(/^https?:\/\//i, '');
  const slash = bare.indexOf('/');
  const authority = (slash === -1 ? bare : bare.slice(0, slash)).toLowerCase();
  const given = slash === -1 ? '' : bare.slice(slash);
  // Docker's API versions are no repositories.
  const stripped = /^\/v[12](?:\/|$)/.test(given) ? given.slice(3) : given;
  const path = stripped === '/' ? '' : stripped;
  const [, name = '', port = ''] = /^(.*?)(?::(\d*))?$/s.exec(authority) ?? [];
  return { text: `${authority}${path}`, labels: name.split('.'), port, path };
}

function matches(key: Key, target: Key): boolean {
  if (key.port !== target.port || key.labels.length !== target.labels.length) return false;
  if (!target.path.startsWith(key.path)) return false;
  return key.labels.every((label, index) => matchesLabel(label, target.labels[index] ?? ''));
}

/** Matches one character: itself, `?`, or a class such as `[0-9a]` or `[^a-z]`. */
type Piece = (character: string) => boolean;

function matchesLabel(pattern: string, label: string): boolean {
  if (pattern === label) return label !== '';
  if (!/[*?[]/.test(pattern) || label.length > longestLabel) return false;
  const parts = pattern.split('*').map(piecesOf);
  if (parts.includes(undefined)) return false;
  const [first = [], ...rest] = parts as Piece[][];
  const last = rest.pop();
  if (last === undefined) return first.length === label.length && fits(first, label, 0);
  const end = label.length - last.length;
  return fits(first, label, 0) && endOfParts(rest, label, first.length) <= end && fits(last, label, end);
}

/** Returns where the leftmost match of parts with anything between them ends; Infinity if there is none. */
function endOfParts(parts: readonly Piece[][], label: string, start: number): number {
  let at = start;
  // The leftmost match is enough, because only `*` matches more than one character. It keeps this linear.
  for (const part of parts) {
    while (at <= label.length && !fits(part, label, at)) at += 1;
    at = at > label.length ? Number.POSITIVE_INFINITY : at + part.length;
  }
  return at;
}

function fits(pieces: readonly Piece[], label: string, at: number): boolean {
  return at + pieces.length <= label.length && pieces.every((piece, index) => piece(label[at + index] ?? ''));
}

/** Returns what each character must be; undefined for a class that does not end, which matches nothing. */
function piecesOf(pattern: string): Piece[] | undefined {
  const pieces: Piece[] = [];
  for (const [text] of pattern.matchAll(/\[(?:\^?[^\]]+)\]|./gs)) {
    if (text === '[') return undefined;
    if (text === '?') pieces.push(() => true);
    else if (text.length > 1) pieces.push(classOf(text.slice(1, -1)));
    else pieces.push((character) => character === text);
  }
  return pieces;
}

function classOf(text: string): Piece {
  const negated = text.startsWith('^');
  const ranges = [...text.slice(negated ? 1 : 0).matchAll(/(.)-(.)|./gs)];
  return (character) =>
    negated !== ranges.some(([one, low = one, high = one]) => character >= low && character <= high);
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
