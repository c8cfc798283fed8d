import { X509Certificate } from 'node:crypto';

import { codedError } from '../kubernetes/errors.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import type { Clock } from '../util/clock.ts';
import type { Ca } from './authority.ts';
import { writePace, type WritePace } from './pacing.ts';
import type { Written } from './shared-ca.ts';

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
function readBundle(certs: readonly string[]): Bundle {
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

/** Waits must not depend on the date: `clock` is monotonic. */
export function createTrust(clock: Pick<Clock, 'monotonic'>): Trust {
  let last: Registration = { state: 'unseen' };
  let bundles: readonly Bundle[] = [];
  let since = new Map<string, number>();
  /** Since when nobody calls us: then nobody has to trust us either. */
  let uncalledSince: number | undefined;

  return {
    look(registration) {
      if (registration === last) return;
      last = registration;
      const now = clock.monotonic();
      bundles = registration.state === 'present' ? registration.bundles.map(readBundle) : [];
      const uncalled = registration.state !== 'unseen' && bundles.length === 0;
      uncalledSince = uncalled ? (uncalledSince ?? now) : undefined;
      const [first, ...others] = bundles;
      const ids = [...(first?.keys() ?? [])].filter((id) => others.every((bundle) => bundle.has(id)));
      since = new Map(ids.map((id) => [id, since.get(id) ?? now]));
    },
    carried(id) {
      const from = uncalledSince ?? since.get(id);
      return from === undefined ? 0 : clock.monotonic() - from;
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

interface BundleKeeperOptions {
  readonly bundle: TrustBundle;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly random: () => number;
  /** Milliseconds that a certificate nobody knows is left in the bundle. */
  readonly pruneAfterMs: number;
  readonly reporter: Reporter;
}

export interface BundleKeeper {
  /**
   * Has the registration carry `cas`, if it does not. Where `only` says that the shared CAs are known for sure, others
   * are taken out after a while: another replica may know of a CA before we do. Never rejects.
   */
  keep(cas: readonly Ca[], only: boolean): Promise<void>;
  /** Milliseconds to the next attempt; 0: none is due. */
  waitMs(): number;
}

/** The longest wait between two attempts to put right what something else overwrites. */
const MOST_WAIT_MS = 300_000;
/** So many times in a row are a quarrel. */
const CONTESTED = 5;
/** Certificates of others that are kept at all. */
const MOST_OTHERS = 8;

type Others = Map<string, number>;

/** The bundle to write instead, PEM; undefined where this one will do. */
function better(
  pems: readonly string[],
  wanted: ReadonlyMap<string, string>,
  isOld: (id: string) => boolean,
): string[] | undefined {
  const found = readBundle(pems);
  const others = [...found].filter(([id]) => !wanted.has(id));
  const keep = others.filter(([id]) => !isOld(id)).slice(0, MOST_OTHERS);
  const complete = [...wanted.keys()].every((id) => found.has(id));
  if (complete && keep.length === others.length) return undefined;
  return [...wanted.values(), ...keep.map(([, cert]) => cert.toString())];
}

function noteOthers(
  before: Others,
  registration: Registration,
  wanted: ReadonlyMap<string, string>,
  now: number,
): Others {
  const bundles = registration.state === 'present' ? registration.bundles : [];
  const others: Others = new Map();
  for (const id of bundles.flatMap((pems) => Array.from(readBundle(pems).keys()))) {
    if (!wanted.has(id)) others.set(id, before.get(id) ?? now);
  }
  return others;
}

export function createBundleKeeper(options: BundleKeeperOptions): BundleKeeper {
  const { bundle, clock, random, pruneAfterMs, reporter } = options;
  const { log, metrics } = reporter;
  const trouble = reporter.trouble('the registration cannot be written', 'certificates');
  const pace = (): WritePace => writePace({ clock, random, most: MOST_WAIT_MS });
  const failures = pace();
  let restored = pace();
  /** Since when certificates that are not wanted have been seen. */
  let others: Others = new Map();
  let wantedIds = '';

  const waitMs = (): number => Math.max(failures.waitMs(), restored.waitMs());

  async function write(version: string, bundles: readonly (string[] | undefined)[], ours: number): Promise<void> {
    try {
      const written = await bundle.replace(version, bundles);
      restored.wrote();
      trouble.recovered();
      if (written === 'conflict') return;
      metrics.cluster.registrationWritten('written');
      log.info({ ours, others: others.size }, 'the caBundle of our registration was written');
      if (restored.inRow !== CONTESTED) return;
      metrics.cluster.registrationWritten('contested');
      log.warn(
        { times: CONTESTED },
        'something else keeps overwriting the caBundle of our registration: only one may own it',
      );
    } catch (error) {
      failures.failed();
      trouble.lost(codedError(error));
    }
  }

  /** What we changed ourselves is no quarrel. */
  function notice(ids: string): void {
    if (ids !== wantedIds) restored = pace();
    wantedIds = ids;
  }

  return {
    waitMs,
    async keep(cas, only) {
      const { seen } = bundle;
      const now = clock.monotonic();
      const wanted = new Map(cas.map(({ id, cert }) => [id, cert]));
      notice([...wanted.keys()].join());
      others = noteOthers(others, seen, wanted, now);
      if (seen.state !== 'present' || waitMs() > 0) return;
      const isOld = (id: string): boolean => only && now - (others.get(id) ?? now) >= pruneAfterMs;
      const bundles = seen.bundles.map((pems) => better(pems, wanted, isOld));
      if (bundles.some((pems) => pems !== undefined)) await write(seen.version, bundles, wanted.size);
    },
  };
}
