import { createHmac, randomBytes } from 'node:crypto';

import type { Credential } from '../detection/image-source.ts';

/** Who we are to a registry. */
export interface Identity {
  /** Undefined: nobody. */
  readonly credential?: Credential;
  /** Tells identities apart in caches, and gives nothing of the credential away. */
  readonly key: string;
}

export const anonymous: Identity = { key: 'anonymous' };

/**
 * Makes the identities to try for a repository: each credential once, in the order given and at most `most`, then
 * nobody, for public images stay readable when a stored login has expired.
 */
export function createIdentities(most: number): (credentials: readonly Credential[]) => Identity[] {
  const secret = randomBytes(32);
  const keyOf = ({ username, password, identityToken, registryToken }: Credential): string =>
    createHmac('sha256', secret)
      .update(JSON.stringify([username, password, identityToken, registryToken]))
      .digest('base64');
  return (credentials) => {
    const byKey = new Map(credentials.map((credential) => [keyOf(credential), credential]));
    const identities = [...byKey].slice(0, most).map(([key, credential]) => ({ key, credential }));
    return [...identities, anonymous];
  };
}

/** Value of an `Authorization` header for Basic (RFC 7617). Undefined where there is no name and password. */
export function basicAuthorization({ credential }: Identity): string | undefined {
  if (credential === undefined || (credential.username === '' && credential.password === '')) return undefined;
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`, 'utf8').toString('base64')}`;
}
