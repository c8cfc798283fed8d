import type { CloudLogin } from './logins.ts';

interface ElasticRegion {
  /** `eu-central-1`. */
  readonly region: string;
  /** Use the endpoint with FIPS 140 cryptography. */
  readonly fips: boolean;
}

/**
 * Gets a login for all ECR registries of a region that our identity may read; it lives 12 hours. Needs the permission
 * `ecr:GetAuthorizationToken`. The SDK's default chain finds our identity: IRSA, EKS Pod Identity, the environment, the
 * node's role. Rejects with the SDK's errors. (Amazon ECR API reference, GetAuthorizationToken)
 */
export async function elasticRegistryLogin({ region, fips }: ElasticRegion, signal: AbortSignal): Promise<CloudLogin> {
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr');
  const requestHandler = { connectionTimeout: 2000, requestTimeout: 5000 };
  const client = new ECRClient({ region, useFipsEndpoint: fips, maxAttempts: 2, requestHandler });
  try {
    const answer = await client.send(new GetAuthorizationTokenCommand({}), { abortSignal: signal });
    const [data] = answer.authorizationData ?? [];
    const text = Buffer.from(data?.authorizationToken ?? '', 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon < 1) throw new Error('ECR gave no authorization token');
    const credential = { username: text.slice(0, colon), password: text.slice(colon + 1) };
    return { credential, expiresAt: data?.expiresAt?.getTime() ?? 0 };
  } finally {
    client.destroy();
  }
}
