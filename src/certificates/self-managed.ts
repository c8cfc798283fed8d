import { codedError } from '../kubernetes/errors.ts';
import { type Reporter, silentReporter, type Trouble } from '../telemetry/reporter.ts';
import type { Clock } from '../util/clock.ts';
import type { ServerName } from './authority.ts';
import { issueLeaf, type Leaf, leafReason } from './leaf.ts';
import { repeatedly, writePace, type WritePace } from './pacing.ts';
import { isValid, trusted } from './rotation.ts';
import { type CaStore, sharedCa, type SharedCa } from './shared-ca.ts';
import type { CertificatePair, CertificateSource } from './source.ts';
import { type BundleKeeper, createBundleKeeper, createTrust, type Trust, type TrustBundle } from './trust-bundle.ts';

interface SelfManagedOptions {
  readonly store: CaStore;
  readonly bundle: TrustBundle;
  /** What the server is called by: `<service>.<namespace>.svc` is what the API server verifies. */
  readonly names: readonly ServerName[];
  readonly clock: Clock;
  /** 0 to 1, evenly spread. */
  readonly random: () => number;
  readonly lifetimes: Lifetimes;
  /** The Secret's name, for the log. */
  readonly secret?: string;
  readonly reporter?: Reporter;
}

/** Milliseconds. A CA must live three times as long as what comes after two thirds of its life: overlap and a leaf. */
export interface Lifetimes {
  /** Of a CA. */
  readonly ca: number;
  /** Of a serving certificate. */
  readonly leaf: number;
  /** From a CA's first appearance in the registration until every API server is sure to trust it. */
  readonly overlap: number;
}

export interface SelfManaged extends Omit<CertificateSource, 'close'> {
  /** Resolves when there is a certificate: `current` throws before. Stays pending when closed before that. */
  readonly ready: Promise<void>;
  /** Why the API server would not trust the certificate served; undefined where it would, or where nobody is registered. */
  untrusted(): string | undefined;
  /** For metrics. Dates are milliseconds since the epoch; undefined: there is none yet. */
  status(): { readonly leafExpires?: number; readonly caExpires?: number; readonly changeOver: boolean };
  close(): Promise<void>;
}

interface Run {
  readonly options: SelfManagedOptions;
  readonly reporter: Reporter;
  readonly troubles: Readonly<Record<'leaf' | 'ca', Trouble>>;
  readonly ca: SharedCa;
  readonly trust: Trust;
  readonly keeper: BundleKeeper;
  readonly pace: WritePace;
  readonly listeners: ((pair: CertificatePair) => void)[];
  readonly issued: () => void;
  leaf: Leaf | undefined;
  problem: string | undefined;
  /** Why the last attempt to change the Secret, or to make a certificate, failed. */
  failure: string | undefined;
}

const carriedBy =
  ({ trust }: Run) =>
  ({ id }: { readonly id: string }): number =>
    trust.carried(id);

async function serve(run: Run): Promise<void> {
  const { ca, options, leaf, reporter } = run;
  const { clock, lifetimes, names, random } = options;
  const current = ca.state?.current;
  if (current === undefined) return;
  const now = clock.now();
  const reason = leafReason({ leaf, current, carried: carriedBy(run), overlap: lifetimes.overlap }, now);
  if (reason === undefined) return;
  const next = await issueLeaf({ ca: current, names, now, lifetimeMs: lifetimes.leaf, jitter: random() });
  run.leaf = next;
  run.troubles.leaf.recovered();
  run.issued();
  for (const listener of run.listeners) listener(next.pair);
  const expires = new Date(next.notAfter);
  reporter.metrics.certificate(expires);
  reporter.log.info({ reason, ca: current.id, expires: expires.toISOString() }, 'certificate in use');
}

function report(run: Run): void {
  const { problem } = run.ca;
  if (problem === run.problem) return;
  run.problem = problem;
  const { log } = run.reporter;
  if (problem === undefined) log.info('the shared CA is in order again');
  else log.error({ secret: run.options.secret }, `the shared CA: ${problem}`);
}

function failed(run: Run, what: 'leaf' | 'ca', error: unknown): void {
  const coded = codedError(error);
  run.failure = coded.message;
  run.troubles[what].lost(coded);
}

async function advance(run: Run): Promise<void> {
  const { ca, pace, reporter } = run;
  if (pace.waitMs() > 0) return;
  try {
    const done = await ca.advance(carriedBy(run));
    if (done === undefined) return;
    run.failure = undefined;
    run.troubles.ca.recovered();
    pace.wrote();
    if (done.written !== 'written') return;
    const { change, why } = done;
    reporter.metrics.cluster.caChanged(change);
    reporter.log.info({ change, why }, 'this replica has changed the shared CA');
  } catch (error) {
    pace.failed();
    failed(run, 'ca', error);
  }
}

async function keepTrusted({ ca, leaf, keeper }: Run): Promise<void> {
  if (ca.state === undefined) return;
  // What is served must be trusted, even where the Secret knows nothing of it any more.
  await keeper.keep([...trusted(ca.state), ...(leaf === undefined ? [] : [leaf.issuer])], ca.certain);
}

async function turn(run: Run): Promise<void> {
  const { ca, trust, options } = run;
  ca.look();
  trust.look(options.bundle.seen);
  report(run);
  try {
    await serve(run);
  } catch (error) {
    failed(run, 'leaf', error);
  }
  await Promise.all([keepTrusted(run), advance(run)]);
}

/** Often enough to act in time; never slower, for timers stand still while a machine is suspended and then run late. */
const checkEvery = ({ ca, leaf, overlap }: Lifetimes): number =>
  Math.max(20, Math.min(10_000, overlap / 4, leaf / 20, ca / 100));

function whyUntrusted(run: Run): string | undefined {
  const { ca, leaf, trust, options } = run;
  const { bundle, clock } = options;
  trust.look(bundle.seen);
  const now = clock.now();
  if (leaf !== undefined) return trust.whyNot(leaf.pair.cert, now);
  const current = ca.state?.current;
  if (current === undefined) return `no CA yet: ${run.failure ?? ca.problem ?? 'the Secret was not read so far'}`;
  if (isValid(current, now)) return `no certificate yet${run.failure === undefined ? '' : `: ${run.failure}`}`;
  return 'no certificate yet: the CA is expired or not valid yet, another one is about to take over';
}

/**
 * Serving certificates signed by a CA that the replicas share, renewed and replaced without anybody's help
 * (docs/certificates.md). Reads the date at each step instead of sleeping for days: clocks jump, machines are suspended.
 */
export function selfManagedCertificates(options: SelfManagedOptions): SelfManaged {
  const { store, bundle, clock, lifetimes, random, reporter = silentReporter } = options;
  const { promise: ready, resolve: issued } = Promise.withResolvers<void>();
  const times = { overlap: lifetimes.overlap, retire: lifetimes.leaf };
  const trouble = (what: string): Trouble => reporter.trouble(what, 'certificates');
  const run: Run = {
    options,
    reporter,
    troubles: { leaf: trouble('a certificate cannot be made'), ca: trouble('the shared CA cannot be written') },
    ca: sharedCa({ store, clock, times, lifetimeMs: lifetimes.ca }),
    trust: createTrust(clock),
    keeper: createBundleKeeper({ bundle, clock, random, pruneAfterMs: 2 * lifetimes.overlap, reporter }),
    pace: writePace({ clock, random, most: lifetimes.overlap }),
    listeners: [],
    issued,
    leaf: undefined,
    problem: undefined,
    failure: undefined,
  };
  const turns = repeatedly(
    () => turn(run),
    () => Math.min(checkEvery(lifetimes), run.pace.waitMs() || Infinity, run.keeper.waitMs() || Infinity),
  );
  store.onChange(turns.now);
  bundle.onChange(turns.now);

  return {
    ready,
    current() {
      if (run.leaf === undefined) throw new Error('there is no certificate yet: wait for `ready`');
      return run.leaf.pair;
    },
    onChange: (listener) => void run.listeners.push(listener),
    untrusted: () => whyUntrusted(run),
    status: () => ({
      ...(run.leaf !== undefined && { leafExpires: run.leaf.notAfter }),
      ...(run.ca.state !== undefined && { caExpires: run.ca.state.current.notAfter }),
      changeOver: run.ca.state?.next !== undefined || run.ca.state?.previous !== undefined,
    }),
    async close() {
      await turns.close();
      await Promise.all([store.close(), bundle.close()]);
    },
  };
}
