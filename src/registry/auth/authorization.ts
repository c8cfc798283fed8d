import { LRUCache } from 'lru-cache';

import { ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import type { RegistryLimits } from '../http/limits.ts';
import { basicAuthorization, type Identity } from './credentials.ts';
import type { TokenRequest, Tokens } from './token.ts';

/** A repository at one registry, as a look-up asks for it. */
export interface Subject {
  /** The registry's scheme, host and port. */
  readonly origin: string;
  readonly repository: string;
  readonly listedOnly: boolean;
  readonly context: LookupContext;
}

/** Finds the `Authorization` header for a request. All reject with `ImageSourceError` or the signal's reason. */
export interface Authorization {
  /** What to send before the registry has asked for anything: from what it asked for last time. */
  expected(subject: Subject, identity: Identity): Promise<string | undefined>;
  /**
   * What to send after a 401 to a request with `refused`. Undefined: nothing that would make a difference.
   * `headers` are the answer's `WWW-Authenticate`.
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
 * Remembers how each registry wants its clients to log in, so that the next look-up spares itself a refusal.
 *
 * A credential is sent to the registry that it is listed for, and to the token server that this registry names in its own
 * challenge, wherever that is: every client does so (containerd, docker, go-containerregistry), for Docker Hub's is on
 * another host. What keeps it safe: the challenge came over TLS, or from a host that the operator lists as insecure; it
 * is never one that came from where a redirect led; the token server is asked over TLS and under the same rules as every host.
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
      if (registryToken !== undefined) return presented(registryToken, subject.origin);
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

function presented(registryToken: string, origin: string): string {
  // Whoever writes a pull secret writes this: a line break in it must not look like a failure of the host.
  if (/^[\x21-\x7e]+$/.test(registryToken)) return `Bearer ${registryToken}`;
  const message = `the registry token for ${new URL(origin).host} holds characters that no header can: check the docker config`;
  throw new ImageSourceError('unauthorized', message);
}

function requestFor(
  { origin, listedOnly, context }: Subject,
  identity: Identity,
  { realm, service }: Scheme & { kind: 'bearer' },
  scope: string,
): TokenRequest {
  return { origin, realm, service, scope, identity, listedOnly, context };
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

/** The scope that the registry asks for where it is one for reading, for a proxy may know the repository by another name. */
function scopeOf({ parameters }: Challenge, { repository }: Subject): string {
  const scope = parameters.get('scope') ?? '';
  return /^repository(?:\([a-z]+\))?:[\w./:-]{1,300}:pull$/.test(scope) ? scope : pullScope(repository);
}

function unknownChallenge(origin: string, challenges: readonly Challenge[]): ImageSourceError {
  const offered = challenges.map(({ scheme }) => scheme.slice(0, 20)).join(', ') || 'nothing';
  const message = `${new URL(origin).host} wants a login and offers ${offered}: expected Basic or Bearer`;
  return new ImageSourceError('unauthorized', message);
}

/** One way of logging in that a registry offers (RFC 9110 section 11.3). */
interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; of a name given twice, the first counts. */
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
 * Reads the challenges of one or several `WWW-Authenticate` headers, in order (RFC 9110 section 11.6.1): commas part
 * challenges and parameters alike, so a name not followed by `=` begins the next challenge. What cannot be read ends
 * that header; what came before it counts. Never throws, and takes time linear in the input: headers beyond 8 KiB, 8
 * challenges and 16 parameters each are left out.
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
      // What stands here is the next challenge's scheme, or rubbish that its reading will stop at.
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
