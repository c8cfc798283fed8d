import { createAuthority, type ServerName, signLeaf } from './authority.ts';
import type { CertificatePair } from './source.ts';

export interface EphemeralOptions {
  /** DNS names and IP addresses the server is called by. */
  readonly names: readonly ServerName[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly days: number;
}

/** A serving pair and the CA that signed it, PEM. */
export interface EphemeralPair extends CertificatePair {
  readonly ca: string;
}

/** Makes a CA, forgets its key, and has signed one serving certificate with it: for development and the demo. */
export async function ephemeralPair({ names, now, days }: EphemeralOptions): Promise<EphemeralPair> {
  const lifetimeMs = days * 24 * 3_600_000;
  const ca = await createAuthority({ now, lifetimeMs });
  const pair = await signLeaf({ ca, names, now, lifetimeMs });
  return { ...pair, ca: ca.cert };
}
