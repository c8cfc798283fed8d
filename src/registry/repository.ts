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
import { discard, type FinalAnswer, follow, type Retries, statusError } from './http/answers.ts';
import type { Ask, Exchange, RequestKind } from './http/exchange.ts';
import type { RegistryLimits } from './http/limits.ts';

/** A GET below `/v2/<repository>/`. */
export interface RepositoryRequest {
  readonly endpoint: Endpoint;
  /** `manifests/latest`, `blobs/sha256:…`. */
  readonly path: string;
  readonly kind: RequestKind;
  readonly headers: Readonly<Record<string, string>>;
  readonly context: LookupContext;
  readonly retries: Retries;
}

/**
 * Sends a request as the first of our identities that the registry accepts. The answer may have any status but 401 and 403.
 * Rejects with `ImageSourceError` or the signal's reason.
 */
export type RequestRepository = (request: RepositoryRequest) => Promise<FinalAnswer>;

interface RepositoryRequestsOptions {
  readonly exchange: Exchange;
  readonly authorization: Authorization;
  readonly credentials: CredentialSource;
  readonly limits: RegistryLimits;
}

/** Logs in where a registry asks for it, with the Pod's own credentials first, and remembers which one served. */
export function createRepositoryRequests(options: RepositoryRequestsOptions): RequestRepository {
  const { limits } = options;
  const identitiesFor = createIdentities(limits.credentials);
  const served = new LRUCache<string, string>({ max: limits.hosts });
  return async (request) => {
    const { endpoint, context } = request;
    const { host, repository, origin } = endpoint;
    const configured = await options.credentials.find(host, repository);
    const own = matchCredentials(context.credentials ?? [], host, repository);
    const identities = identitiesFor([...own, ...configured]);
    const key = JSON.stringify([origin, repository, ...identities.map((identity) => identity.key)]);
    const last = served.get(key);
    const ordered = identities.toSorted((a, b) => Number(b.key === last) - Number(a.key === last));
    let refusal: unknown;
    for (const identity of ordered) {
      const hasOther = ordered.some((other) => other !== identity && other !== anonymous);
      const result = await tryIdentity(request, identity, hasOther, options);
      if (!(result instanceof ImageSourceError)) {
        served.set(key, identity.key);
        return result;
      }
      // Being turned away as nobody after a login was refused says less than that refusal.
      refusal = identity === anonymous ? (refusal ?? result) : result;
    }
    throw refusal;
  };
}

/** The answer; or the refusal, after which another identity may be tried. */
async function tryIdentity(
  request: RepositoryRequest,
  identity: Identity,
  hasOther: boolean,
  options: RepositoryRequestsOptions,
): Promise<FinalAnswer | ImageSourceError> {
  try {
    const answer = await sendAs(request, identity, options);
    const isRefusal = answer.status === 401 || answer.status === 403;
    // Some registries say of a repository that this login may not see that it is not there.
    const mayBeHidden = answer.status === 404 && hasOther && identity !== anonymous;
    if (!isRefusal && !mayBeHidden) return answer;
    return await statusError(answer, describe(request), options.limits);
  } catch (error) {
    if (error instanceof ImageSourceError && error.code === 'unauthorized') return error;
    throw error;
  }
}

async function sendAs(
  request: RepositoryRequest,
  identity: Identity,
  { exchange, authorization, limits }: RepositoryRequestsOptions,
): Promise<FinalAnswer> {
  const { endpoint, context } = request;
  const { origin, repository, listedOnly } = endpoint;
  const subject: Subject = { origin, repository, listedOnly, context };
  const expected = await authorization.expected(subject, identity);
  const first = await follow(exchange, askFor(request, expected), limits, request.retries);
  // A challenge from where a redirect led is not the registry's: it is not answered.
  if (first.status !== 401 || first.foreign) return first;
  // Before a token is asked for: whoever waits for that must not hold a place that its request may need.
  await discard(first, limits);
  const answer = await authorization.answer(subject, identity, first.challenges, expected);
  if (answer === undefined) return first;
  return await follow(exchange, askFor(request, answer), limits, request.retries);
}

function askFor({ endpoint, path, kind, headers, context }: RepositoryRequest, authorization: string | undefined): Ask {
  const url = new URL(`/v2/${endpoint.repository}/${path}`, endpoint.origin);
  if (endpoint.namespace !== undefined) url.searchParams.set('ns', endpoint.namespace);
  return {
    url,
    kind,
    headers: authorization === undefined ? headers : { ...headers, authorization },
    listedOnly: endpoint.listedOnly,
    context,
  };
}

/** Names what was asked for, for errors: `docker.io/library/nginx: manifests/latest`. */
export function describe({ endpoint, path }: RepositoryRequest): string {
  return `${endpoint.host}/${endpoint.repository}: ${path}`;
}
