import { LRUCache } from 'lru-cache';

import { ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import type { RegistryLimits } from '../http/limits.ts';
import { basicAuthorization, type Identity } from './credentials.ts';
import type { TokenRequest, Tokens } from './token.ts';

/** The repository that a look-up reads, at one registry. */
export interface Subject {
  /** The registry's scheme, host and port. */
  readonly origin: string;
  readonly repository: string;
  readonly listedOnly: boolean;
  readonly context: LookupContext;
}

/**
 * Finds the `Authorization` header for a request. Both methods reject with `ImageSourceError` or the signal's reason.
 */
export interface Authorization {
  /** Returns the header for a first request, by the registry's last challenge; undefined for none. */
  expected(subject: Subject, identity: Identity): Promise<string | undefined>;
  /**
   * Returns the header for a second request after a 401; undefined if none would help. `headers` are the
   * `WWW-Authenticate` headers of the 401, `refused` the `Authorization` header that it refused.
   */
  answer(
    subject: Subject,
    identity: Identity,
    headers: readonly string[],
    refused: string | undefined,
  ): Promise<string | undefined>;
}

type Scheme = { readonly kind: 'basic' } | { readonly kind: 'bearer'; readonly realm: URL; readonly service: string };

/**
 * Returns the way to log in to registries. Remembers each registry's challenge, which spares the next look-up a
 * refusal.
 *
 * Sends a credential to the registry that it is listed for, and to the token server that this registry names in its
 * challenge, wherever that is: so does every client (containerd, docker, go-containerregistry), because Docker Hub's
 * token server is on another host. This is safe: the challenge came over TLS, or from a host that the operator lists as
 * insecure; challenges after a redirect do not count; requests to the token server go over TLS, under the same rules as
 * those to every host.
 */
export function createAuthorization(tokens: Tokens, limits: RegistryLimits): Authorization {
  const schemes = new LRUCache<string, Scheme>({ max: limits.hosts });
  const tokenFor = async (request: TokenRequest, refused: string | undefined): Promise<string | undefined> => {
    const token = await tokens.get(request);
    if (`Bearer ${token}` !== refused) return `Bearer ${token}`;
    tokens.forget(request, token);
    return `Bearer ${await tokens.get(request)}`;
  };
  return {
    async expected(subject, identity) {
      const { registryToken } = identity.credential ?? {};
      if (registryToken !== undefined) return bearerHeader(registryToken, subject.origin);
      const scheme = schemes.get(subject.origin);
      if (scheme?.kind !== 'bearer') return scheme === undefined ? undefined : basicAuthorization(identity);
      return await tokenFor(requestFor(subject, identity, scheme, pullScope(subject.repository)), undefined);
    },
    async answer(subject, identity, headers, refused) {
      if (identity.credential?.registryToken !== undefined) return undefined;
      const challenges = parseChallenges(headers);
      const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
      if (bearer !== undefined) {
        const scheme = bearerScheme(bearer, subject.origin);
        schemes.set(subject.origin, scheme);
        return await tokenFor(requestFor(subject, identity, scheme, scopeOf(bearer, subject)), refused);
      }
      if (!challenges.some(({ scheme }) => scheme === 'basic')) throw unknownChallenge(subject.origin, challenges);
      schemes.set(subject.origin, { kind: 'basic' });
      const header = basicAuthorization(identity);
      return header === refused ? undefined : header;
    },
  };
}

function bearerHeader(registryToken: string, origin: string): string {
  // The token comes from a pull secret: a line break in it must not look like a failure of the host.
  if (/^[\x21-\x7e]+$/.test(registryToken)) return `Bearer ${registryToken}`;
  const message = `the registry token for ${new URL(origin).host} holds characters that a header cannot: check the docker config`;
  throw new ImageSourceError('unauthorized', message);
}

function requestFor(
  subject: Subject,
  identity: Identity,
  { realm, service }: Scheme & { kind: 'bearer' },
  scope: string,
): TokenRequest {
  return { ...subject, realm, service, scope, identity };
}

function bearerScheme({ parameters }: Challenge, origin: string): Scheme & { kind: 'bearer' } {
  const realm = URL.parse(parameters.get('realm') ?? '');
  if (realm === null || !/^https?:$/.test(realm.protocol)) {
    const message = `${new URL(origin).host} wants a token and names no token server: expected realm="https://…"`;
    throw new ImageSourceError('invalid-answer', message);
  }
  return { kind: 'bearer', realm, service: parameters.get('service') ?? '' };
}

function pullScope(repository: string): string {
  return `repository:${repository}:pull`;
}

/**
 * Returns the challenge's scope if it is for reading: a proxy may use another name for the repository. Else our own.
 */
function scopeOf({ parameters }: Challenge, { repository }: Subject): string {
  const scope = parameters.get('scope') ?? '';
  return /^repository(?:\([a-z]+\))?:[\w./:-]{1,300}:pull$/.test(scope) ? scope : pullScope(repository);
}

function unknownChallenge(origin: string, challenges: readonly Challenge[]): ImageSourceError {
  const offered = challenges.map(({ scheme }) => scheme.slice(0, 20)).join(', ') || 'nothing';
  const message = `${new URL(origin).host} wants a login and offers ${offered}: expected Basic or Bearer`;
  return new ImageSourceError('unauthorized', message);
}

/** One way to log in that a registry offers (RFC 9110 section 11.3). */
interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; the first of two with the same name counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const longestHeader = 8192;
const mostChallenges = 8;
const mostParameters = 16;

interface Cursor {
  readonly text: string;
  at: number;
}

/**
 * Reads the challenges of one or several `WWW-Authenticate` headers, in order (RFC 9110 section 11.6.1). Commas
 * separate challenges as well as parameters, so a name without `=` begins the next challenge. Ignores the rest of a
 * header after a syntax error. Never throws, and takes linear time: reads at most 8 KiB of a header, 8 challenges, and
 * 16 parameters each.
 */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  const challenges: Challenge[] = [];
  for (const header of headers.slice(0, mostChallenges)) {
    const cursor: Cursor = { text: header.slice(0, longestHeader), at: 0 };
    while (challenges.length < mostChallenges) {
      const challenge = readChallenge(cursor);
      if (challenge === undefined) break;
      challenges.push(challenge);
    }
  }
  return challenges;
}

function readChallenge(cursor: Cursor): Challenge | undefined {
  skip(cursor, /[\s,]*/y);
  const scheme = take(cursor, tokenPattern);
  if (scheme === undefined) return undefined;
  const parameters = new Map<string, string>();
  for (;;) {
    const start = cursor.at;
    const parameter = readParameter(cursor);
    if (parameter === undefined) {
      // Either the next challenge begins here, or a syntax error that will stop its reading.
      cursor.at = start;
      return { scheme: scheme.toLowerCase(), parameters };
    }
    const [name, value] = parameter;
    if (!parameters.has(name) && parameters.size < mostParameters) parameters.set(name, value);
  }
}

function readParameter(cursor: Cursor): [name: string, value: string] | undefined {
  skip(cursor, /[\s,]*/y);
  const name = take(cursor, tokenPattern);
  if (name === undefined || take(cursor, /\s*=\s*/y) === undefined) return undefined;
  const quoted = take(cursor, /"(?:[^"\\]|\\.)*"/sy);
  if (quoted !== undefined) return [name.toLowerCase(), quoted.slice(1, -1).replaceAll(/\\(.)/gs, '$1')];
  // Bare URLs are not tokens, yet some registries send realm=https://… without quotes.
  const bare = take(cursor, /[^\s,"]+/y);
  return bare === undefined ? undefined : [name.toLowerCase(), bare];
}

const tokenPattern = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;

function take(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const match = pattern.exec(cursor.text);
  if (match === null) return undefined;
  cursor.at = pattern.lastIndex;
  return match[0];
}

function skip(cursor: Cursor, pattern: RegExp): void {
  take(cursor, pattern);
}
