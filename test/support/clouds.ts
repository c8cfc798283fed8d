import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

import { startAnswering, type AnsweringServer, type Asked, type Reply } from './answering-server.ts';
import type { TestCertificate } from './certificate.ts';

/** The clouds' identity and token services on loopback. */
interface Clouds {
  /** The environment that each cloud gives a Pod, by the kind of identity. */
  readonly environments: Readonly<Record<IdentityKind, Readonly<Record<string, string>>>>;
  /** Services called, in order: `AWS ECR`, `AWS STS`, … */
  readonly asked: string[];
  /** Returned instead of the cloud's own response. */
  refuse: Reply | 'hang' | undefined;
  readonly close: () => Promise<void>;
}

export type IdentityKind =
  | 'IRSA'
  | 'EKS Pod Identity'
  | "the node's role"
  | 'the GKE metadata server'
  | 'workload identity federation'
  | 'AKS workload identity'
  | 'a managed identity';

/** The logins that the clouds issue; all are secrets. */
export const granted = {
  elastic: 's3cr3t-ecr-password',
  google: 's3cr3t-google-token',
  entra: 's3cr3t-entra-token',
  projected: 's3cr3t-projected-token',
} as const;

const expiresIn = 3600;
const soon = (): string => new Date(Date.now() + expiresIn * 1000).toISOString();
const keys = { AccessKeyId: 'AKIA', SecretAccessKey: 's3cr3t-key', Token: 's3cr3t-session' };

function amazon({ headers, body, url }: Asked): [what: string, reply: Reply] | undefined {
  if (headers['x-amz-target'] === 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken') {
    const region = /\/(?<region>[^/]+)\/ecr\//.exec(headers.authorization ?? '')?.groups?.['region'];
    const authorizationToken = Buffer.from(`AWS:${granted.elastic}`).toString('base64');
    const expiresAt = Date.now() / 1000 + 12 * 3600;
    return [`AWS ECR ${region}`, { body: { authorizationData: [{ authorizationToken, expiresAt }] } }];
  }
  if (body.includes('AssumeRoleWithWebIdentity') && body.includes(granted.projected)) {
    const credentials = Object.entries({ ...keys, SessionToken: keys.Token, Expiration: soon() });
    const xml = credentials.map(([name, value]) => `<${name}>${value}</${name}>`).join('');
    const result = `<AssumeRoleWithWebIdentityResult><Credentials>${xml}</Credentials></AssumeRoleWithWebIdentityResult>`;
    const answer = `<AssumeRoleWithWebIdentityResponse>${result}</AssumeRoleWithWebIdentityResponse>`;
    return ['AWS STS', { headers: { 'content-type': 'text/xml' }, body: answer }];
  }
  if (url.pathname === '/v1/credentials' && headers.authorization === granted.projected) {
    return ['EKS agent', { body: { ...keys, Expiration: soon() } }];
  }
  if (url.pathname === '/latest/api/token') return ['IMDS', { body: 'imds' }];
  if (url.pathname.endsWith('/security-credentials/')) return ['IMDS', { body: 'node' }];
  if (url.pathname.endsWith('/security-credentials/node')) {
    return ['IMDS', { body: { ...keys, Code: 'Success', Expiration: soon() } }];
  }
  return undefined;
}

function google({ headers, body, url }: Asked): [what: string, reply: Reply] | undefined {
  const token = { access_token: granted.google, expires_in: expiresIn, token_type: 'Bearer' };
  const path = '/computeMetadata/v1/instance/service-accounts/default/token';
  if (url.pathname === path && headers['metadata-flavor'] === 'Google') {
    const found = { 'metadata-flavor': 'Google', 'content-type': 'application/json' };
    return ['GCE metadata', { headers: found, body: token }];
  }
  if (url.pathname === '/federation' && body.includes(granted.projected)) {
    return ['Google STS', { body: { ...token, issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' } }];
  }
  return undefined;
}

function azure({ headers, body, url }: Asked): [what: string, reply: Reply] | undefined {
  const token = { access_token: granted.entra, expires_in: expiresIn, token_type: 'Bearer' };
  const resource = url.searchParams.get('resource');
  if (headers['metadata'] === 'true' && resource === 'https://containerregistry.azure.net') {
    const expires = Math.floor(Date.now() / 1000) + expiresIn;
    return [
      `Azure IMDS ${url.searchParams.get('client_id')}`,
      { body: { ...token, expires_on: `${expires}`, resource } },
    ];
  }
  const origin = `https://localhost:${url.port}`;
  if (url.pathname.endsWith('/.well-known/openid-configuration')) {
    const endpoints = { authorization_endpoint: `${origin}/authorize`, token_endpoint: `${origin}/token` };
    return ['Entra discovery', { body: { ...endpoints, issuer: origin, jwks_uri: `${origin}/keys` } }];
  }
  return url.pathname === '/token' && body.includes(granted.projected) ? ['Entra', { body: token }] : undefined;
}

/** Starts them. The whole process then trusts the certificate, because the SDK calls Entra only over TLS. */
export async function startClouds(certificate: TestCertificate): Promise<Clouds> {
  const state: { asked: string[]; refuse: Reply | 'hang' | undefined } = { asked: [], refuse: undefined };
  const answer = (asked: Asked): Reply | 'hang' => {
    const [what, reply] = amazon(asked) ??
      google(asked) ??
      azure(asked) ?? [`? ${asked.url.pathname}`, { status: 404 }];
    state.asked.push(what);
    return state.refuse ?? reply;
  };
  setDefaultCACertificates([...getCACertificates('default'), certificate.cert]);
  const plain = await startAnswering(answer);
  const secure = await startAnswering(answer, { tls: certificate });
  const directory = await mkdtemp(join(tmpdir(), 'clouds-'));
  const environments = await writeEnvironments(directory, plain, secure);
  return Object.assign(state, {
    environments,
    close: async () => {
      await Promise.all([plain.close(), secure.close(), rm(directory, { recursive: true })]);
    },
  });
}

async function writeEnvironments(
  directory: string,
  plain: AnsweringServer,
  secure: AnsweringServer,
): Promise<Clouds['environments']> {
  const token = join(directory, 'token');
  await writeFile(token, granted.projected);
  const federation = join(directory, 'federation.json');
  const pool = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x';
  const external = {
    type: 'external_account',
    audience: pool,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${plain.url}/federation`,
    credential_source: { file: token },
  };
  await writeFile(federation, JSON.stringify(external));
  // Keeps the machine's own configuration out.
  const files = { AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
  const aws = { ...files, AWS_ENDPOINT_URL_ECR: plain.url, AWS_ENDPOINT_URL_STS: plain.url };
  const client = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
  return {
    IRSA: { ...aws, AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/webhook', AWS_WEB_IDENTITY_TOKEN_FILE: token },
    'EKS Pod Identity': {
      ...aws,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${plain.url}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token,
    },
    "the node's role": { ...aws, AWS_EC2_METADATA_SERVICE_ENDPOINT: plain.url },
    'the GKE metadata server': { GCE_METADATA_HOST: new URL(plain.url).host },
    'workload identity federation': { GOOGLE_APPLICATION_CREDENTIALS: federation },
    'AKS workload identity': {
      AZURE_AUTHORITY_HOST: secure.url.replace('127.0.0.1', 'localhost'),
      // The only tenant for which the SDK does not ask Microsoft to confirm the authority.
      AZURE_TENANT_ID: 'adfs',
      AZURE_CLIENT_ID: client,
      AZURE_FEDERATED_TOKEN_FILE: token,
    },
    'a managed identity': { AZURE_POD_IDENTITY_AUTHORITY_HOST: plain.url, AZURE_CLIENT_ID: client },
  };
}
