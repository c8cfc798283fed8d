import { createAuthority, type ServerName, signLeaf } from './authority.ts';
import type { CertificatePair } from './source.ts';

interface EphemeralOptions {
  /** DNS names and IP addresses of the server. */
  readonly names: readonly ServerName[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly days: number;
}

/** A serving pair and the CA that signed it, PEM. */
export interface EphemeralPair extends CertificatePair {
  readonly ca: string;
}

/** Creates a CA, signs one serving certificate with it and drops its key: for development and the demo. */
export async function ephemeralPair({ names, now, days }: EphemeralOptions): Promise<EphemeralPair> {
  const lifetimeMs = days * 24 * 3_600_000;
  const ca = await createAuthority({ now, lifetimeMs });
  const pair = await signLeaf({ ca, names, now, lifetimeMs });
  return { ...pair, ca: ca.cert };
}
