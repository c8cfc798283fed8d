import { startAnswering, type AnsweringServer, type Asked, type Reply } from './answering-server.ts';
import type { TestCertificate } from './certificate.ts';
import { granted } from './clouds.ts';
import { startRegistry, type RegistryServer } from './registry-server.ts';

export const cloudRegistryNames: readonly string[] = [
  '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
  '210987654321.dkr.ecr.eu-central-1.amazonaws.com',
  '123456789012.dkr.ecr.us-east-1.amazonaws.com',
  'gcr.io',
  'europe-west3-docker.pkg.dev',
  'team.azurecr.io',
  'other.azurecr.io',
];

/** ECR, Google's and Azure's registries under their own names on port 443 of loopback, served by one registry in memory. */
export interface CloudRegistries {
  readonly registry: RegistryServer;
  readonly asked: Asked[];
  /** The Azure registry's response to a token exchange. */
  exchange: Reply | 'hang';
  readonly close: () => Promise<void>;
}

const bearer = 's3cr3t-registry-token';
/** Returns a refresh token that expires in an hour. */
export const refreshToken = (): string => {
  const claims = Buffer.from(JSON.stringify({ exp: Math.floor(Date.now() / 1000) + 3600 })).toString('base64url');
  return `s3cr3t.${claims}.refresh`;
};
const basic = (login: string): string => `Basic ${Buffer.from(login).toString('base64')}`;

function unauthorized(challenge: string): Reply {
  return { status: 401, headers: { 'www-authenticate': challenge }, body: '{}' };
}

/** Returns the challenge if the request lacks the login that the host requires; undefined if it has it. */
function refusal(host: string, { authorization = '' }: Asked['headers']): Reply | undefined {
  if (host.endsWith('.amazonaws.com')) {
    const realm = `Basic realm="https://${host}/",service="ecr.amazonaws.com"`;
    return authorization === basic(`AWS:${granted.elastic}`) ? undefined : unauthorized(realm);
  }
  if (authorization === `Bearer ${bearer}`) return undefined;
  const path = host.endsWith('.azurecr.io') ? 'oauth2/token' : 'v2/token';
  return unauthorized(`Bearer realm="https://${host}/${path}",service="${host}",scope="repository:team/app:pull"`);
}

function tokenReply({ url, method, headers, body }: Asked, issued: ReadonlySet<string>): Reply | undefined {
  const form = new URLSearchParams(body);
  if (url.pathname === '/v2/token') {
    const known = headers.authorization === basic(`oauth2accesstoken:${granted.google}`);
    return known ? { body: { token: bearer } } : { status: 401 };
  }
  if (url.pathname !== '/oauth2/token') return undefined;
  return method === 'POST' && issued.has(form.get('refresh_token') ?? '')
    ? { body: { access_token: bearer } }
    : { status: 401 };
}

/** Starts them. Resolves to undefined if this process may not listen on port 443. */
export async function startCloudRegistries(certificate: TestCertificate): Promise<CloudRegistries | undefined> {
  const registry = await startRegistry();
  const issued = new Set<string>();
  const state: { exchange: Reply | 'hang' } = { exchange: { body: { refresh_token: refreshToken() } } };
  const answer = async (asked: Asked): Promise<Reply | 'hang'> => {
    const { url, headers } = asked;
    if (url.pathname === '/oauth2/exchange') {
      const { refresh_token: token } = (typeof state.exchange === 'string' ? {} : (state.exchange.body ?? {})) as {
        refresh_token?: string;
      };
      if (token !== undefined) issued.add(token);
      return state.exchange;
    }
    const early = tokenReply(asked, issued) ?? refusal(url.hostname, headers);
    if (early !== undefined) return early;
    const range = headers.range === undefined ? {} : { range: headers.range };
    const response = await fetch(`${registry.url}${url.pathname}`, { headers: range });
    const body = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, headers: Object.fromEntries(response.headers), body };
  };
  let server: AnsweringServer;
  try {
    server = await startAnswering(answer, { tls: certificate, port: 443 });
  } catch {
    await registry.close();
    return undefined;
  }
  return Object.assign(state, {
    registry,
    asked: server.asked,
    close: async () => {
      await Promise.all([server.close(), registry.close()]);
    },
  });
}
