import { LRUCache } from 'lru-cache';
import { z } from 'zod';

import { ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import { beforeAbort } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { createCoalescer } from '../../util/coalesce.ts';
import { beginsLikeJson, decodeBody } from '../http/content-coding.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Charge } from '../http/host-state.ts';
import type { RegistryLimits } from '../http/limits.ts';
import { discard, follow, readWhole, type Retries, retryReset, statusError } from '../http/responses.ts';
import { parseBoundedJson } from '../../util/json-bounds.ts';
import { basicAuthorization, type Identity } from './credentials.ts';

/** What a token is for. */
export interface TokenRequest {
  /** Scheme, host and port of the registry, the only server that the token is sent to. */
  readonly origin: string;
  /** What the token server's failures are charged to: the registry chose it, and may name anybody's. */
  readonly charge: Charge;
  /** The token server, named by the registry's own challenge. */
  readonly realm: URL;
  readonly service: string;
  /** `repository:library/nginx:pull`; several are separated by spaces. */
  readonly scope: string;
  readonly identity: Identity;
  readonly listedOnly: boolean;
  readonly context: LookupContext;
}

/** Gets Bearer tokens and keeps them until they expire. */
export interface Tokens {
  /** Returns a token, a kept one if it has not expired. Rejects with `ImageSourceError` or the signal's reason. */
  get(request: TokenRequest): Promise<string>;
  /** Forgets a token that the registry has refused. */
  forget(request: TokenRequest, token: string): void;
}

interface Kept {
  readonly token: string;
  /** On the monotonic clock. */
  readonly staleAt: number;
}

const longestToken = 16 * 1024;
// distribution: docs/content/spec/auth/token.md. Clients assume 60 seconds if the server names no lifetime, or a shorter one.
const defaultLifetime = 60;
const longestLifetime = 24 * 3600;

// A token goes into a header, so it must not hold spaces or control characters.
const tokenSchema = z
  .string()
  .max(longestToken)
  .regex(/^[\x21-\x7e]+$/);
const responseSchema = z.object({
  token: tokenSchema.optional().catch(undefined),
  access_token: tokenSchema.optional().catch(undefined),
  expires_in: z.number().min(0).catch(defaultLifetime),
});

interface TokensOptions {
  readonly exchange: Exchange;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
}

/**
 * Keeps tokens by registry, token server, scope and identity; requests for the same token at the same time share one
 * fetch.
 */
export function createTokens(options: TokensOptions): Tokens {
  const kept = new LRUCache<string, Kept>({ maxSize: options.limits.tokenMemory, sizeCalculation: sizeOf });
  const fetches = createCoalescer<Kept>();
  const fetchAndKeep = async (key: string, request: TokenRequest): Promise<Kept> => {
    const fresh = await fetchToken(request, options);
    kept.set(key, fresh);
    return fresh;
  };
  return {
    async get(request) {
      const key = keyOf(request);
      for (;;) {
        const known = kept.get(key);
        if (known !== undefined && options.clock.monotonic() < known.staleAt) return known.token;
        const shared = fetches.get(key);
        const fresh = await (shared === undefined
          ? fetches.run(key, async () => await fetchAndKeep(key, request))
          : joined(shared, request.context.signal));
        if (fresh !== undefined) return fresh.token;
      }
    },
    forget(request, token) {
      const key = keyOf(request);
      if (kept.get(key)?.token === token) kept.delete(key);
    },
  };
}

function keyOf({ origin, realm, service, scope, identity }: TokenRequest): string {
  return JSON.stringify([origin, realm.href, service, scope, identity.key]);
}

function sizeOf({ token }: Kept, key: string): number {
  return token.length + key.length + 100;
}

/** Waits for another look-up's fetch; undefined if that look-up was given up, which says nothing about the server. */
async function joined(shared: Promise<Kept>, signal: AbortSignal): Promise<Kept | undefined> {
  try {
    const fresh = await beforeAbort(shared, signal);
    signal.throwIfAborted();
    return fresh;
  } catch (error) {
    if (signal.aborted || error instanceof ImageSourceError) throw error;
    return undefined;
  }
}

async function fetchToken(request: TokenRequest, { exchange, limits, clock }: TokensOptions): Promise<Kept> {
  const what = `token for ${request.scope} at ${new URL(request.origin).host}`;
  const started = clock.monotonic();
  // A server may revoke a refresh token once it is used, so that request has no retry.
  const retries: Retries = { left: request.identity.credential?.identityToken === undefined ? 1 : 0 };
  const body = await retryReset(retries, async () => {
    let response = await follow(exchange, toHttp(request), limits, retries);
    const basic = withoutIdentityToken(request);
    if (postUnknown.has(response.status) && basic !== undefined) {
      await discard(response, limits);
      response = await follow(exchange, toHttp(basic), limits, retries);
    }
    if (response.status >= 300) throw await statusError(response, what, limits);
    const received = await readWhole(response, limits.tokenResponseBytes, what, request.context);
    const memory = { limit: limits.tokenResponseBytes, budget: request.context.budget };
    return await decodeBody(received, response.headers['content-encoding'], memory, beginsLikeJson);
  });
  const { token, lifetime } = readResponse(body, request.realm.host, what);
  // Renews a little early, so that no token expires on its way to the registry.
  const margin = Math.min(10, lifetime / 4);
  return { token, staleAt: started + (lifetime - margin) * 1000 };
}

// containerd: core/remotes/docker/authorizer.go names GCR (404), Artifactory (401) and ACR (400).
const postUnknown = new Set([400, 401, 404, 405, 415, 501]);

/**
 * Returns the request with the password that stands beside an identity token, else with the token as the password, as containerd sends it;
 * undefined if there is no identity token. Token servers without OAuth2 know no POST (containerd/containerd#2169).
 */
function withoutIdentityToken(request: TokenRequest): TokenRequest | undefined {
  const { identityToken, username = '', password = '' } = request.identity.credential ?? {};
  if (identityToken === undefined) return undefined;
  const credential = password === '' ? { username: '', password: identityToken } : { username, password };
  return { ...request, identity: { ...request.identity, credential } };
}

function toHttp(request: TokenRequest): Parameters<Exchange>[0] {
  const { realm, service, scope, identity, listedOnly, charge, context } = request;
  const { identityToken } = identity.credential ?? {};
  const common = { kind: 'token', listedOnly, charge, context } as const;
  if (identityToken !== undefined) {
    // distribution: docs/content/spec/auth/oauth.md
    const form = new URLSearchParams({ grant_type: 'refresh_token', service, scope, client_id: 'libc-dns' });
    form.set('refresh_token', identityToken);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { ...common, url: realm, headers, form: form.toString() };
  }
  const url = new URL(realm);
  if (service !== '') url.searchParams.set('service', service);
  url.searchParams.delete('scope');
  for (const one of scope.split(' ')) url.searchParams.append('scope', one);
  const authorization = basicAuthorization(identity);
  return { ...common, url, headers: authorization === undefined ? {} : { authorization } };
}

function readResponse(body: Buffer, host: string, what: string): { token: string; lifetime: number } {
  const { data } = responseSchema.safeParse(parseBoundedJson(body));
  const token = data?.token ?? data?.access_token;
  if (data === undefined || token === undefined) {
    const expected = `expected JSON with a token or access_token of at most ${longestToken} characters`;
    throw new ImageSourceError('invalid-answer', `${what}: ${host} gave no token: ${expected}`);
  }
  return { token, lifetime: Math.min(Math.max(data.expires_in, defaultLifetime), longestLifetime) };
}
