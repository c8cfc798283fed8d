import { LRUCache } from 'lru-cache';

import { ImageSourceError, type LookupContext } from '../detection/image-source.ts';
import type { Authorization, Subject } from './auth/authorization.ts';
import {
  anonymous,
  createIdentities,
  type CredentialSource,
  type Identity,
  matchCredentials,
} from './auth/credentials.ts';
import type { Endpoint } from './endpoint.ts';
import type { Exchange, HttpRequest, RequestKind } from './http/exchange.ts';
import type { RegistryLimits } from './http/limits.ts';
import { commonName } from './hosts/pattern.ts';
import { discard, type FinalResponse, follow, type Retries, statusError } from './http/responses.ts';

/** A GET or HEAD below `/v2/<repository>/`. */
export interface RepositoryRequest {
  readonly endpoint: Endpoint;
  /** `manifests/latest`, `blobs/sha256:…`. */
  readonly path: string;
  readonly kind: RequestKind;
  /** Absent: GET. */
  readonly method?: HttpRequest['method'];
  readonly headers: Readonly<Record<string, string>>;
  readonly context: LookupContext;
  readonly retries: Retries;
}

/**
 * Sends a request with the first of our identities that the registry accepts. The response has any status but 401 and
 * 403. Rejects with `ImageSourceError` or the signal's reason.
 */
export type RequestRepository = (request: RepositoryRequest) => Promise<FinalResponse>;

interface RepositoryRequestsOptions {
  readonly exchange: Exchange;
  readonly authorization: Authorization;
  readonly credentials: CredentialSource;
  /** Reports whether the rules about hosts let images of this repository be read. `origin` is scheme, host and port. */
  readonly admits: (origin: string, repository: string) => boolean;
  readonly limits: RegistryLimits;
}

/**
 * Logs in if a registry asks for it. Tries the identity that succeeded last time, the Pod's own credentials, the
 * others. If a redirect leads to another registry that asks for a login, logs in there with the logins for that host, and asks it first for
 * the rest of the look-up.
 */
export function createRepositoryRequests(options: RepositoryRequestsOptions): RequestRepository {
  const tryIdentities = createIdentityTrials(options);
  const moves = new WeakMap<LookupContext, Map<string, Endpoint>>();
  return async (request) => {
    const { context, endpoint } = request;
    const known = moves.get(context) ?? new Map<string, Endpoint>();
    const key = `${endpoint.origin}/${endpoint.repository}`;
    const target = known.get(key);
    if (target !== undefined) {
      const direct = await unlessFailed(tryIdentities({ ...request, endpoint: target }));
      if (direct !== undefined && direct.status < 300) return direct;
      direct?.close();
      known.delete(key);
    }
    const response = await tryIdentities(request);
    const moved = movedTo(request, response);
    if (moved === undefined) return response;
    await discard(response, options.limits);
    options.authorization.noteChallenge(moved.endpoint, response.challenges);
    const final = await tryIdentities(moved);
    if (final.status < 300) moves.set(context, known.set(key, moved.endpoint));
    return final;
  };
}

/** Returns undefined for an `ImageSourceError`; rejects with every other error. */
async function unlessFailed(response: Promise<FinalResponse>): Promise<FinalResponse | undefined> {
  try {
    return await response;
  } catch (error) {
    if (error instanceof ImageSourceError) return undefined;
    throw error;
  }
}

/** Returns a function that sends a request with one identity after the other, and remembers which succeeded. */
function createIdentityTrials(options: RepositoryRequestsOptions): RequestRepository {
  const { limits, admits } = options;
  const identitiesFor = createIdentities(limits.credentials);
  const succeeded = new LRUCache<string, string>({ max: limits.hosts });
  return async (request) => {
    const { endpoint, context } = request;
    const { host, repository, origin } = endpoint;
    const mayLogIn = endpoint.ledBy === undefined || admits(origin, repository);
    const configured = mayLogIn ? await options.credentials.find(host, repository) : [];
    const own = mayLogIn ? matchCredentials(context.credentials ?? [], host, repository) : [];
    const identities = identitiesFor([...own, ...configured]);
    const key = JSON.stringify([origin, repository, ...identities.map((identity) => identity.key)]);
    const last = succeeded.get(key);
    const ordered = identities.toSorted((a, b) => Number(b.key === last) - Number(a.key === last));
    let refusal: unknown;
    for (const identity of ordered) {
      const hasOther = ordered.some((other) => other !== identity && other !== anonymous);
      const result = await tryIdentity(request, identity, hasOther, options);
      if (!(result instanceof ImageSourceError)) {
        succeeded.set(key, identity.key);
        return result;
      }
      // The refusal of a login says more than that of the anonymous attempt after it.
      refusal = identity === anonymous ? (refusal ?? result) : result;
    }
    throw refusal;
  };
}

/** Returns the response, or the error of a refusal after which another identity may succeed. */
async function tryIdentity(
  request: RepositoryRequest,
  identity: Identity,
  hasOther: boolean,
  options: RepositoryRequestsOptions,
): Promise<FinalResponse | ImageSourceError> {
  try {
    const response = await sendAs(request, identity, options);
    if (movedTo(request, response) !== undefined) return response;
    // Some registries answer 404 for a repository that the login may not see.
    const mayBeHidden = response.status === 404 && hasOther && identity !== anonymous;
    if (!isRefusal(response) && !mayBeHidden) return response;
    return await statusError(response, describe(request), options.limits);
  } catch (error) {
    if (error instanceof ImageSourceError && error.code === 'unauthorized') return error;
    throw error;
  }
}

function isRefusal({ status }: FinalResponse): boolean {
  return status === 401 || status === 403;
}

/**
 * Returns the request to send to the registry that a redirect led to and that wants a login; undefined if the response is no such challenge.
 * A name that redirects to its images elsewhere is common (Scarf, vanity domains); containerd answers the challenge, too.
 */
function movedTo(request: RepositoryRequest, response: FinalResponse): RepositoryRequest | undefined {
  const { endpoint } = request;
  const { url, foreign, status, challenges } = response;
  if (!foreign || status !== 401 || challenges.length === 0 || endpoint.ledBy !== undefined) return undefined;
  const [, repository = '', path = ''] =
    /^\/v2\/([\w.-]+(?:\/[\w.-]+)*)\/((?:manifests|blobs)\/[\w.:+-]+)$/.exec(url.pathname) ?? [];
  if (repository === '' || url.origin === endpoint.origin) return undefined;
  const host = commonName(url.host);
  const { listedOnly } = endpoint;
  return { ...request, path, endpoint: { origin: url.origin, host, repository, listedOnly, ledBy: endpoint } };
}

async function sendAs(
  request: RepositoryRequest,
  identity: Identity,
  options: RepositoryRequestsOptions,
): Promise<FinalResponse> {
  const { exchange, authorization, limits } = options;
  const { endpoint, context } = request;
  const { origin, repository, listedOnly, ledBy } = endpoint;
  const charge = {
    origin: (ledBy ?? endpoint).origin,
    repository: (ledBy ?? endpoint).repository,
    login: identity.key,
  };
  const subject: Subject = { origin, repository, listedOnly, charge, context };
  const expected = await authorization.expected(subject, identity);
  let response = await follow(exchange, toHttp(request, charge, expected), limits, request.retries);
  const way = wayIn(response, expected, identity, authorization.isKnown(origin));
  const challenges = way === 'ping' ? await closing(response, askPing(request, charge, options)) : way;
  if (challenges === undefined) return response;
  // Gives the host's place back first, because the request for a token may need it.
  await discard(response, limits);
  for await (const header of authorization.answers(subject, identity, challenges, expected)) {
    await discard(response, limits);
    response = await follow(exchange, toHttp(request, charge, header), limits, request.retries);
    if (!isRefusal(response)) return response;
  }
  return response;
}

/**
 * Returns the challenges to answer after a response, empty for the registry's last ones; `ping` if these have to be asked for; undefined if the
 * response stands. Some registries challenge on `/v2/` alone, and refuse the rest with 401, 403 or 404 (containerd/containerd#3291).
 */
function wayIn(
  response: FinalResponse,
  expected: string | undefined,
  identity: Identity,
  isKnown: boolean,
): readonly string[] | 'ping' | undefined {
  const { status, challenges, foreign } = response;
  // A challenge after a redirect to another host is not the registry's: it gets no credential.
  if (foreign) return undefined;
  if (status === 401) return challenges.length > 0 || isKnown ? challenges : 'ping';
  // RFC 9110 section 11.6.1: a challenge in another response says that a login may help.
  if (status === 403 && challenges.length > 0 && expected === undefined) return challenges;
  const mayNeedLogin = status === 403 || (status === 404 && identity !== anonymous);
  return mayNeedLogin && expected === undefined && !isKnown ? 'ping' : undefined;
}

/** Asks for `/v2/`, and returns the challenges there; undefined if nothing challenges there, which is remembered. */
async function askPing(
  request: RepositoryRequest,
  charge: HttpRequest['charge'],
  { exchange, authorization, limits }: RepositoryRequestsOptions,
): Promise<readonly string[] | undefined> {
  const { origin } = request.endpoint;
  const url = new URL('/v2/', origin);
  const ping = { ...toHttp(request, charge, undefined), url, headers: {}, kind: 'ping', method: undefined } as const;
  const answer = await unlessFailed(follow(exchange, ping, limits, request.retries));
  if (answer === undefined) return undefined;
  await discard(answer, limits);
  const { status, foreign, challenges } = answer;
  if (status >= 500 || status === 429) return undefined;
  // zot challenges with 200 where a part of it is open to everybody.
  if (!foreign && challenges.length > 0) return challenges;
  authorization.noteOpen(origin);
  return undefined;
}

/** Closes the response if the promise rejects. */
async function closing<T>(response: FinalResponse, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    response.close();
    throw error;
  }
}

function toHttp(
  { endpoint, path, kind, method, headers, context }: RepositoryRequest,
  charge: HttpRequest['charge'],
  authorization: string | undefined,
): HttpRequest {
  const url = new URL(`/v2/${endpoint.repository}/${path}`, endpoint.origin);
  if (endpoint.namespace !== undefined) url.searchParams.set('ns', endpoint.namespace);
  return {
    url,
    kind,
    method,
    headers: authorization === undefined ? headers : { ...headers, authorization },
    listedOnly: endpoint.listedOnly,
    charge,
    isRedirected: endpoint.ledBy !== undefined,
    context,
  };
}

/** Names a request for errors: `docker.io/library/nginx: manifests/latest`. */
export function describe({ endpoint, path }: RepositoryRequest): string {
  return `${endpoint.host}/${endpoint.repository}: ${path}`;
}
