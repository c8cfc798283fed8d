import { z } from 'zod';

import type { Clock } from '../../util/clock.ts';
import type { Exchange } from '../http/exchange.ts';
import type { RegistryLimits } from '../http/limits.ts';
import { follow, readWhole, statusError } from '../http/responses.ts';
import { parseBoundedJson } from '../../util/json-bounds.ts';
import type { CloudLogin } from './logins.ts';

interface AzureRegistry {
  /** `team.azurecr.io`. */
  readonly host: string;
  /** Connect only to the networks of the allow list. */
  readonly listedOnly: boolean;
}

interface AzureParts {
  readonly environment: NodeJS.ProcessEnv;
  readonly exchange: Exchange;
  readonly limits: RegistryLimits;
  readonly clock: Pick<Clock, 'now'>;
}

const scope = 'https://containerregistry.azure.net/.default';
/** For a token that does not name its end; they live 3 hours. */
const USUAL_LIFE_MS = 3_600_000;
const tokenSchema = z
  .string()
  .max(16 * 1024)
  .regex(/^[\x21-\x7e]+$/);
const responseSchema = z.object({ refresh_token: tokenSchema });
const claimsSchema = z.object({ exp: z.number() });

/**
 * Gets a login for one Azure container registry: a refresh token, in exchange for an Entra token of our identity. That
 * is the workload identity of the Pod, else the node's managed identity. Rejects with the SDK's errors or an
 * `ImageSourceError`. (azure.github.io/acr/AAD-OAuth.html, "Calling POST /oauth2/exchange")
 */
export async function azureRegistryLogin(
  registry: AzureRegistry,
  parts: AzureParts,
  signal: AbortSignal,
): Promise<CloudLogin> {
  const token = await entraToken(parts.environment, signal);
  const refreshToken = await exchangeToken(registry, token, parts, signal);
  const credential = { username: '', password: '', identityToken: refreshToken };
  return { credential, expiresAt: expiryOf(refreshToken) ?? parts.clock.now() + USUAL_LIFE_MS };
}

async function entraToken(environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  const { ManagedIdentityCredential, WorkloadIdentityCredential } = await import('@azure/identity');
  const retryOptions = { maxRetries: 1 };
  const clientId = environment['AZURE_CLIENT_ID'];
  // Not DefaultAzureCredential, which also runs the command line tools of developers.
  const identity = environment['AZURE_FEDERATED_TOKEN_FILE']
    ? new WorkloadIdentityCredential({ retryOptions })
    : new ManagedIdentityCredential({ ...(clientId ? { clientId } : {}), retryOptions });
  const { token } = await identity.getToken(scope, { abortSignal: signal });
  return token;
}

async function exchangeToken(
  { host, listedOnly }: AzureRegistry,
  token: string,
  { environment, exchange, limits }: AzureParts,
  signal: AbortSignal,
): Promise<string> {
  const form = new URLSearchParams({ grant_type: 'access_token', service: host, access_token: token });
  const tenant = environment['AZURE_TENANT_ID'];
  if (tenant) form.set('tenant', tenant);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const context = { signal, meter: { requests: 0, bytes: 0 } };
  const url = new URL(`https://${host}/oauth2/exchange`);
  const charge = { origin: url.origin, repository: 'oauth2/exchange', login: '' };
  const request = { url, kind: 'token', headers, form: form.toString(), listedOnly, charge, context } as const;
  const response = await follow(exchange, request, limits, { left: 1 });
  if (response.status !== 200) throw await statusError(response, 'token exchange', limits);
  const body = await readWhole(response, limits.tokenResponseBytes, 'token exchange');
  const { data } = responseSchema.safeParse(parseBoundedJson(body));
  if (data === undefined) throw new Error('the registry gave no refresh token');
  return data.refresh_token;
}

/** Returns the end of a JSON Web Token in milliseconds since 1970; undefined if it names none. */
function expiryOf(token: string): number | undefined {
  const claims = parseBoundedJson(Buffer.from(token.split('.', 2)[1] ?? '', 'base64url'));
  const { data } = claimsSchema.safeParse(claims);
  return data === undefined ? undefined : data.exp * 1000;
}
