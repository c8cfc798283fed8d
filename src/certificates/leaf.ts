import { X509Certificate } from 'node:crypto';

import { type Ca, type ServerName, type SigningCa, signLeaf } from './authority.ts';
import { isValid } from './rotation.ts';
import type { CertificatePair } from './source.ts';

/** The certificate that this replica serves. Dates are milliseconds since the epoch. */
export interface Leaf {
  readonly pair: CertificatePair;
  readonly issuer: Ca;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly renewAt: number;
}

interface LeafSituation {
  readonly leaf: Leaf | undefined;
  /** The CA that signs. */
  readonly current: Ca;
  /** As in `Situation`. */
  readonly carried: (ca: Ca) => number;
  /** Milliseconds from a CA's first appearance in the registration until every API server is sure to trust it. */
  readonly overlap: number;
}

type LeafReason = 'first' | 'invalid' | 'due' | 'ca';

/**
 * Returns why to sign a new leaf now; undefined if the old one stays. While the old leaf is valid, a CA that is new to the
 * registration signs none: a person may have replaced the CA in the Secret by hand, without a change-over.
 */
export function leafReason({ leaf, current, carried, overlap }: LeafSituation, now: number): LeafReason | undefined {
  if (!isValid(current, now)) return undefined;
  if (leaf === undefined) return 'first';
  if (now < leaf.notBefore || now >= leaf.notAfter) return 'invalid';
  if (leaf.issuer.id === current.id) return now >= leaf.renewAt ? 'due' : undefined;
  const trusted = carried(current);
  return trusted >= overlap || (trusted > 0 && carried(leaf.issuer) === 0) ? 'ca' : undefined;
}

interface IssueOptions {
  readonly ca: SigningCa;
  readonly names: readonly ServerName[];
  readonly now: number;
  readonly lifetimeMs: number;
  /** 0 to 1, random: spreads the renewals of replicas that were started together. */
  readonly jitter: number;
}

/** Signs a leaf, due for renewal after 60 to 67 % of its lifetime. */
export async function issueLeaf({ jitter, ...options }: IssueOptions): Promise<Leaf> {
  const pair = await signLeaf(options);
  const { validFromDate, validToDate } = new X509Certificate(pair.cert);
  const { key: _theirs, ...issuer } = options.ca;
  const notAfter = validToDate.getTime();
  return {
    pair,
    issuer,
    notBefore: validFromDate.getTime(),
    notAfter,
    renewAt: options.now + (notAfter - options.now) * (2 / 3 - jitter / 15),
  };
}
