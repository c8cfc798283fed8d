import { LRUCache } from 'lru-cache';

import { ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import type { Charge } from '../http/host-state.ts';
import type { RegistryLimits } from '../http/limits.ts';
import { basicAuthorization, type Identity } from './credentials.ts';
import type { TokenRequest, Tokens } from './token.ts';

/** The repository that a look-up reads, at one registry. */
export interface Subject {
  /** The registry's scheme, host and port. */
  readonly origin: string;
  readonly repository: string;
  readonly listedOnly: boolean;
  readonly charge: Charge;
  readonly context: LookupContext;
}

/** Finds the `Authorization` header for a request. Its methods reject with `ImageSourceError` or the signal's reason. */
export interface Authorization {
  /** Returns the header for a first request, by the registry's last challenge; undefined for none. */
  expected(subject: Subject, identity: Identity): Promise<string | undefined>;
  /** Reports whether the registry has shown how to log in, or that it asks nobody to. */
  isKnown(origin: string): boolean;
  /** Notes that the registry challenges nobody, for some minutes. */
  noteOpen(origin: string): void;
  /** Notes the `WWW-Authenticate` headers of a 401 that nobody has answered yet. Throws `ImageSourceError` if they offer no login. */
  noteChallenge(subject: Pick<Subject, 'origin' | 'repository'>, headers: readonly string[]): void;
  /**
   * Yields the headers to try after a refusal, one after the other: of Bearer challenges first, then of Basic. `headers` are the
   * `WWW-Authenticate` headers; without any the last challenge of the registry counts. `refused` is the `Authorization` header that was
   * refused.
   */
  answers(
    subject: Subject,
    identity: Identity,
    headers: readonly string[],
    refused: string | undefined,
  ): AsyncGenerator<string>;
}

type BearerScheme = { readonly kind: 'bearer'; readonly realm: URL; readonly service: string };
type Scheme = { readonly kind: 'basic' | 'open' } | BearerScheme;

const openMs = 10 * 60_000;

/**
 * Returns the way to log in to registries. Remembers each registry's challenge, which spares the next look-up a
 * refusal.
 *
 * Sends a credential to the registry that it is listed for, and to the token server that this registry names in its
 * challenge, wherever that is: so does every client (containerd, docker, go-containerregistry), because Docker Hub's
 * token server is on another host. This is safe: the challenge came over TLS, or from a host that the operator lists as
 * insecure; a challenge after a redirect is answered with the logins of the host that sent it; requests to the token server go over TLS,
 * under the same rules as those to every host.
 */
export function createAuthorization(tokens: Tokens, limits: RegistryLimits): Authorization {
  const schemes = new LRUCache<string, Scheme>({ max: limits.hosts });
  const scopes = new LRUCache<string, string>({ max: limits.hosts });
  const requestFor = (subject: Subject, identity: Identity, { realm, service }: BearerScheme): TokenRequest => {
    const scope = scopes.get(keyOf(subject)) ?? pullScope(subject.repository);
    return { ...subject, realm, service, scope, identity };
  };
  const tokenFor = async (request: TokenRequest, refused: string | undefined): Promise<string> => {
    const token = await tokens.get(request);
    if (`Bearer ${token}` !== refused) return `Bearer ${token}`;
    tokens.forget(request, token);
    return `Bearer ${await tokens.get(request)}`;
  };
  const headerFor = async (subject: Subject, identity: Identity, scheme: Scheme, refused: string | undefined) => {
    if (scheme.kind === 'bearer') return await tokenFor(requestFor(subject, identity, scheme), refused);
    return scheme.kind === 'basic' ? basicAuthorization(identity) : undefined;
  };
  const learn = (subject: Pick<Subject, 'origin' | 'repository'>, headers: readonly string[]): Scheme[] => {
    const { origin } = subject;
    if (headers.length === 0) return [schemes.get(origin) ?? []].flat();
    const challenges = parseChallenges(headers);
    const scope = scopeOf(challenges, subject);
    if (scope !== pullScope(subject.repository)) scopes.set(keyOf(subject), scope);
    const offered = schemesOf(challenges, origin);
    if (offered[0] !== undefined) schemes.set(origin, offered[0]);
    return offered;
  };
  return {
    async expected(subject, identity) {
      const { registryToken } = identity.credential ?? {};
      if (registryToken !== undefined) return bearerHeader(registryToken, subject.origin);
      const scheme = schemes.get(subject.origin);
      return scheme && (await headerFor(subject, identity, scheme, undefined));
    },
    isKnown: (origin) => schemes.has(origin),
    noteOpen: (origin) => {
      schemes.set(origin, { kind: 'open' }, { ttl: openMs });
    },
    noteChallenge: (subject, headers) => {
      learn(subject, headers);
    },
    async *answers(subject, identity, headers, refused) {
      if (identity.credential?.registryToken !== undefined) return;
      let failure: unknown;
      for (const scheme of learn(subject, headers)) {
        try {
          const header = await headerFor(subject, identity, scheme, refused);
          if (header === undefined || header === refused) continue;
          schemes.set(subject.origin, scheme);
          failure = undefined;
          yield header;
        } catch (error) {
          subject.context.signal.throwIfAborted();
          failure = error;
        }
      }
      if (failure !== undefined) throw failure;
    },
  };
}

function keyOf({ origin, repository }: Pick<Subject, 'origin' | 'repository'>): string {
  return JSON.stringify([origin, repository]);
}

function bearerHeader(registryToken: string, origin: string): string {
  // The token comes from a pull secret: a line break in it must not look like a failure of the host.
  if (/^[\x21-\x7e]+$/.test(registryToken)) return `Bearer ${registryToken}`;
  const message = `the registry token for ${new URL(origin).host} holds characters that a header cannot: check the docker config`;
  throw new ImageSourceError('unauthorized', message);
}

/**
 * Returns the ways to log in that challenges offer, Bearer first, as containerd takes them (core/remotes/docker/auth/parse.go). Throws
 * `ImageSourceError` if they offer none.
 */
function schemesOf(challenges: readonly Challenge[], origin: string): Scheme[] {
  const bearers = challenges.filter(({ scheme }) => scheme === 'bearer');
  const realms = bearers.flatMap((challenge) => bearerScheme(challenge) ?? []);
  const basic: Scheme[] = challenges.some(({ scheme }) => scheme === 'basic') ? [{ kind: 'basic' }] : [];
  const ways = [...realms.slice(0, 1), ...basic];
  if (ways.length > 0) return ways;
  const { host } = new URL(origin);
  if (bearers.length > 0) {
    const message = `${host} wants a token and names no token server: expected realm="https://…"`;
    throw new ImageSourceError('invalid-answer', message);
  }
  const offered = challenges.map(({ scheme }) => scheme.slice(0, 20)).join(', ') || 'nothing';
  throw new ImageSourceError('unauthorized', `${host} wants a login and offers ${offered}: expected Basic or Bearer`);
}

function bearerScheme({ parameters }: Challenge): BearerScheme | undefined {
  const realm = URL.parse(parameters.get('realm') ?? '');
  if (realm === null || !/^https?:$/.test(realm.protocol)) return undefined;
  return { kind: 'bearer', realm, service: parameters.get('service') ?? '' };
}

function pullScope(repository: string): string {
  return `repository:${repository}:pull`;
}

const mostScopes = 8;

/**
 * Returns the scopes to ask for, separated by spaces: the first Bearer challenge's, because a proxy may use another name for the
 * repository, and our own (containerd: core/remotes/docker/scope.go). Unlike containerd, asks for reading alone.
 */
function scopeOf(challenges: readonly Challenge[], { repository }: Pick<Subject, 'repository'>): string {
  const named = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters.get('scope') ?? '';
  const scopes = named.split(' ', mostScopes).flatMap((scope) => readingScope(scope) ?? []);
  return [...new Set([...scopes, pullScope(repository)])].join(' ');
}

function readingScope(scope: string): string | undefined {
  const [, repository, actions = ''] =
    /^(repository(?:\([a-z]+\))?:[\w./:-]{1,300}):([a-z,*]{1,100})$/.exec(scope) ?? [];
  if (repository !== undefined) return /(?:^|,)(?:pull|\*)(?:,|$)/.test(actions) ? `${repository}:pull` : undefined;
  // Without the grammar of distribution: ECR Public's `aws`.
  return /^\w{1,100}$/.test(scope) ? scope : undefined;
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
