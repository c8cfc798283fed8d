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
import { discard, type FinalResponse, follow, type Retries, statusError } from './http/responses.ts';

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
 * Sends a request with the first of our identities that the registry accepts. The response has any status but 401 and
 * 403. Rejects with `ImageSourceError` or the signal's reason.
 */
export type RequestRepository = (request: RepositoryRequest) => Promise<FinalResponse>;

interface RepositoryRequestsOptions {
  readonly exchange: Exchange;
  readonly authorization: Authorization;
  readonly credentials: CredentialSource;
  readonly limits: RegistryLimits;
}

/**
 * Logs in if a registry asks for it. Tries the identity that succeeded last time, the Pod's own credentials, the
 * others.
 */
export function createRepositoryRequests(options: RepositoryRequestsOptions): RequestRepository {
  const { limits } = options;
  const identitiesFor = createIdentities(limits.credentials);
  const succeeded = new LRUCache<string, string>({ max: limits.hosts });
  return async (request) => {
    const { endpoint, context } = request;
    const { host, repository, origin } = endpoint;
    const configured = await options.credentials.find(host, repository);
    const own = matchCredentials(context.credentials ?? [], host, repository);
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
    const isRefusal = response.status === 401 || response.status === 403;
    // Some registries answer 404 for a repository that the login may not see.
    const mayBeHidden = response.status === 404 && hasOther && identity !== anonymous;
    if (!isRefusal && !mayBeHidden) return response;
    return await statusError(response, describe(request), options.limits);
  } catch (error) {
    if (error instanceof ImageSourceError && error.code === 'unauthorized') return error;
    throw error;
  }
}

async function sendAs(
  request: RepositoryRequest,
  identity: Identity,
  { exchange, authorization, limits }: RepositoryRequestsOptions,
): Promise<FinalResponse> {
  const { endpoint, context } = request;
  const { origin, repository, listedOnly } = endpoint;
  const subject: Subject = { origin, repository, listedOnly, context };
  const expected = await authorization.expected(subject, identity);
  const charge = { origin, repository, login: identity.key };
  const first = await follow(exchange, toHttp(request, charge, expected), limits, request.retries);
  // A challenge after a redirect to another host is not the registry's: it gets no credential.
  if (first.status !== 401 || first.foreign) return first;
  // Gives the host's place back first, because the request for a token may need it.
  await discard(first, limits);
  const header = await authorization.answer(subject, identity, first.challenges, expected);
  if (header === undefined) return first;
  return await follow(exchange, toHttp(request, charge, header), limits, request.retries);
}

function toHttp(
  { endpoint, path, kind, headers, context }: RepositoryRequest,
  charge: HttpRequest['charge'],
  authorization: string | undefined,
): HttpRequest {
  const url = new URL(`/v2/${endpoint.repository}/${path}`, endpoint.origin);
  if (endpoint.namespace !== undefined) url.searchParams.set('ns', endpoint.namespace);
  return {
    url,
    kind,
    headers: authorization === undefined ? headers : { ...headers, authorization },
    listedOnly: endpoint.listedOnly,
    charge,
    context,
  };
}

/** Names a request for errors: `docker.io/library/nginx: manifests/latest`. */
export function describe({ endpoint, path }: RepositoryRequest): string {
  return `${endpoint.host}/${endpoint.repository}: ${path}`;
}
