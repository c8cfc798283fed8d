import { X509Certificate } from 'node:crypto';

import type { Written } from './ca-store.ts';

/** What the API server was last seen to be told. */
export type Registration =
  | { readonly state: 'unseen'; readonly problem?: string }
  | { readonly state: 'absent' }
  | {
      readonly state: 'present';
      /** A write names it, and fails where it is not the latest any more. */
      readonly version: string;
      /** The CA certificates (PEM) of each webhook entry that calls us. */
      readonly bundles: readonly (readonly string[])[];
    };

/** The registration's trust bundles. Owned here; `kubernetes/` implements it with our MutatingWebhookConfiguration. */
export interface TrustBundle {
  readonly seen: Registration;
  /** Calls back when `seen` has changed. */
  onChange(listener: () => void): void;
  /** Writes bundles in the order of `bundles`; undefined leaves one alone. Rejects for any reason but a conflict. */
  replace(version: string, bundles: readonly (readonly string[] | undefined)[]): Promise<Written>;
  close(): Promise<void>;
}

/** A view of the registration with a memory: since when is each CA in it? */
export interface Trust {
  /** Takes note of what the registration holds now. */
  look(registration: Registration): void;
  /** Milliseconds for which all entries have carried the CA (its SHA-256) without a break; 0 where they do not. */
  carried(id: string): number;
  /** Why the API server would refuse this certificate (PEM) at `now`, milliseconds since the epoch. */
  whyNot(cert: string, now: number): string | undefined;
}

type Bundle = ReadonlyMap<string, X509Certificate>;

/** By SHA-256. */
export function readBundle(certs: readonly string[]): Bundle {
  const bundle = new Map<string, X509Certificate>();
  for (const pem of certs) {
    try {
      const cert = new X509Certificate(pem);
      bundle.set(cert.fingerprint256, cert);
    } catch {
      // Clients skip what they cannot read, too.
    }
  }
  return bundle;
}

function isTrustedBy(leaf: X509Certificate, bundle: Bundle, now: number): boolean {
  for (const ca of bundle.values()) {
    const valid = ca.validFromDate.getTime() <= now && now < ca.validToDate.getTime();
    if (valid && ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey)) return true;
  }
  return false;
}

function whyInvalid({ validFromDate, validToDate }: X509Certificate, now: number): string | undefined {
  if (now >= validToDate.getTime()) return `the certificate expired at ${validToDate.toISOString()}`;
  if (now < validFromDate.getTime()) return `the certificate is not valid before ${validFromDate.toISOString()}`;
  return undefined;
}

/** `monotonic` is milliseconds from any start: waits must not depend on the date. */
export function createTrust(monotonic: () => number): Trust {
  let last: Registration = { state: 'unseen' };
  let bundles: readonly Bundle[] = [];
  let since = new Map<string, number>();
  /** Since when nobody calls us: then nobody has to trust us either. */
  let uncalledSince: number | undefined;

  return {
    look(registration) {
      if (registration === last) return;
      last = registration;
      const now = monotonic();
      bundles = registration.state === 'present' ? registration.bundles.map(readBundle) : [];
      const uncalled = registration.state !== 'unseen' && bundles.length === 0;
      uncalledSince = uncalled ? (uncalledSince ?? now) : undefined;
      const [first, ...others] = bundles;
      const ids = [...(first?.keys() ?? [])].filter((id) => others.every((bundle) => bundle.has(id)));
      since = new Map(ids.map((id) => [id, since.get(id) ?? now]));
    },
    carried(id) {
      const from = uncalledSince ?? since.get(id);
      return from === undefined ? 0 : monotonic() - from;
    },
    whyNot(cert, now) {
      const leaf = new X509Certificate(cert);
      const invalid = whyInvalid(leaf, now);
      if (invalid !== undefined) return invalid;
      if (last.state === 'unseen') return `the registration was not seen yet: ${last.problem ?? 'no answer so far'}`;
      if (bundles.every((bundle) => isTrustedBy(leaf, bundle, now))) return undefined;
      return 'the caBundle of the registration does not hold the CA of the certificate';
    },
  };
}
