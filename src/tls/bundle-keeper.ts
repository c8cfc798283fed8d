import type { Clock } from '../util/clock.ts';
import type { Ca } from './authority.ts';
import { readBundle, type Registration, type TrustBundle } from './trust.ts';
import { writePace, type WritePace } from './turns.ts';

export interface BundleHooks {
  /** This replica changed the registration. `others`: certificates that are not ours and may stay for a while. */
  readonly onBundleWritten?: (bundle: { readonly ours: number; readonly others: number }) => void;
  /** Something else keeps overwriting the caBundle. Called once a quarrel; it is put right in ever longer intervals. */
  readonly onContested?: (times: number) => void;
  /** The registration could not be written; tried again in `waitMs`. */
  readonly onError?: (error: Error, waitMs: number) => void;
}

export interface BundleKeeperOptions {
  readonly bundle: TrustBundle;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly random: () => number;
  /** Milliseconds that a certificate nobody knows is left in the bundle. */
  readonly pruneAfterMs: number;
  readonly hooks: BundleHooks;
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

export function createBundleKeeper({ bundle, clock, random, pruneAfterMs, hooks }: BundleKeeperOptions): BundleKeeper {
  const pace = (): WritePace => writePace({ monotonic: () => clock.monotonic(), random, most: MOST_WAIT_MS });
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
      if (written === 'conflict') return;
      hooks.onBundleWritten?.({ ours, others: others.size });
      if (restored.inRow === CONTESTED) hooks.onContested?.(restored.inRow);
    } catch (error) {
      hooks.onError?.(error instanceof Error ? error : new Error(String(error)), failures.failed());
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
