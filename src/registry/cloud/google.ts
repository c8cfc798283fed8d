import type { Clock } from '../../util/clock.ts';
import type { CloudLogin } from './logins.ts';

const scopes = ['https://www.googleapis.com/auth/cloud-platform.read-only'];

/**
 * Gets a login for Artifact Registry and Container Registry: an access token of our identity, which lives up to an
 * hour. The identity comes from the file that GOOGLE_APPLICATION_CREDENTIALS names, else from the metadata server (GKE
 * workload identity, or the node's service account). Rejects with the SDK's errors. (Artifact Registry, "Configure
 * authentication to Artifact Registry for Docker": access token)
 */
export async function googleRegistryLogin(
  environment: NodeJS.ProcessEnv,
  clock: Pick<Clock, 'now'>,
): Promise<CloudLogin> {
  const { Compute, GoogleAuth } = await import('google-auth-library');
  // The library would probe for a metadata server once and remember a failure, but GKE's starts after the Pod.
  const client = environment['GOOGLE_APPLICATION_CREDENTIALS']
    ? await new GoogleAuth({ scopes, projectId: 'none' }).getClient()
    : new Compute();
  const { token } = await client.getAccessToken();
  if (!token) throw new Error('Google gave no access token');
  const credential = { username: 'oauth2accesstoken', password: token };
  return { credential, expiresAt: client.credentials.expiry_date ?? clock.now() };
}
