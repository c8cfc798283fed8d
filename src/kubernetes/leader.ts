import type { Trouble } from '../telemetry/reporter.ts';
import { pause } from '../util/abort.ts';
import { asKubeError } from './errors.ts';
import { createLeaseClaim, type LeaseClaim, type LeaseClaimOptions } from './lease.ts';

interface LeaderOptions extends Omit<LeaseClaimOptions, 'durationMs'> {
  /** Called when we lead from now on. */
  readonly onStarted?: () => void;
  /** Called when we no longer lead. The election waits for it, but not for longer than the Lease lasts. */
  readonly onStopped?: (why: string) => void | Promise<void>;
  /** Called when another replica leads from now on. */
  readonly onLeader?: (identity: string) => void;
  /** Reported where the Lease can be neither read nor written. */
  readonly trouble?: Trouble;
  readonly timing?: LeaderTiming;
}

/** Milliseconds, as client-go's LeaseDuration, RenewDeadline and RetryPeriod: the first is the longest, the last the shortest. */
interface LeaderTiming {
  /** For which nobody else may take the Lease. Whole seconds. */
  readonly durationMs: number;
  /** After which a leader that could not renew it stops. */
  readonly renewMs: number;
  /** Between attempts, with up to a fifth more. */
  readonly retryMs: number;
}

export interface Leader {
  /**
   * Whether we lead now: asked before each act, for a process that was stopped for a while learns of it only by this.
   * False from the moment the Lease could not be renewed in time, by whichever clock says so.
   */
  isLeader(): boolean;
  /** Stops leading and frees the Lease. Never rejects. */
  close(): Promise<void>;
}

/** Little depends on who leads: this asks the API server for less than client-go's 15, 10 and 2 seconds. */
const TIMING: LeaderTiming = { durationMs: 30_000, renewMs: 20_000, retryMs: 5000 };

const RELEASE_MS = 2000;

const LEAST_TIMEOUT_MS = 100;

interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

interface Election {
  readonly options: LeaderOptions;
  readonly timing: LeaderTiming;
  readonly claim: LeaseClaim;
  readonly signal: AbortSignal;
  /** When the last renewal that succeeded was sent. Undefined: we do not lead. */
  renewedAt: Moment | undefined;
  /** The last leader that was told of. */
  holder: string;
}

/** A suspended machine's monotonic clock stands still, and a wall clock may be set back: the one that says more counts. */
function msSince(moment: Moment, clock: LeaderOptions['clock']): number {
  return Math.max(clock.now() - moment.wall, clock.monotonic() - moment.monotonic);
}

function mayAct({ renewedAt, timing, options }: Election): boolean {
  return renewedAt !== undefined && msSince(renewedAt, options.clock) < timing.renewMs;
}

/** Resolves to whether all that leading had begun was ended in the time that the Lease still stands for us. */
async function stepDown(election: Election, why: string): Promise<boolean> {
  if (election.renewedAt === undefined) return true;
  election.renewedAt = undefined;
  election.holder = '';
  const limit = new AbortController();
  const late = pause(election.timing.durationMs, limit.signal).then(() => false);
  const stopped = (async () => await election.options.onStopped?.(why))().then(
    () => true,
    () => false,
  );
  const inTime = await Promise.race([stopped, late]);
  limit.abort();
  return inTime;
}

async function lead(election: Election, began: Moment): Promise<void> {
  const { options, timing } = election;
  if (msSince(began, options.clock) >= timing.renewMs) {
    await stepDown(election, 'the Lease was renewed too late');
    return;
  }
  const led = election.renewedAt !== undefined;
  election.renewedAt = began;
  if (!led) options.onStarted?.();
}

async function attempt(election: Election): Promise<void> {
  const { claim, options, timing, signal, renewedAt } = election;
  const { clock, identity } = options;
  const began = { wall: clock.now(), monotonic: clock.monotonic() };
  const left = renewedAt === undefined ? timing.renewMs : timing.renewMs - msSince(renewedAt, clock);
  const timeoutMs = Math.max(LEAST_TIMEOUT_MS, Math.min(left, 2 * timing.retryMs));
  const { held, holder } = await claim.attempt({ signal, timeoutMs });
  options.trouble?.recovered();
  if (holder === '') return;
  if (held) await lead(election, began);
  else await stepDown(election, `${holder} has taken the Lease`);
  if (holder !== identity && holder !== election.holder) options.onLeader?.(holder);
  election.holder = holder;
}

async function elect(election: Election): Promise<void> {
  const { signal, timing } = election;
  while (!signal.aborted) {
    // Before anything else: we may have slept through the time for which we led.
    if (!mayAct(election)) await stepDown(election, 'the Lease was not renewed in time');
    try {
      await attempt(election);
    } catch (error) {
      if (!signal.aborted) election.options.trouble?.lost(asKubeError(error, 'server'));
    }
    if (signal.aborted) return;
    const waitMs = timing.retryMs * (1 + Math.random() / 5);
    await pause(waitMs, signal);
  }
}

async function end(election: Election): Promise<void> {
  const isIdle = await stepDown(election, 'shutting down');
  if (!isIdle) return;
  const limits = { signal: AbortSignal.timeout(RELEASE_MS), timeoutMs: RELEASE_MS };
  // Also where we do not know that we lead: the answer to our last write may have been lost.
  await election.claim.release(limits).catch(() => undefined);
}

/**
 * Takes part in the election of one replica by a Lease (coordination.k8s.io/v1), as client-go's leaderelection does: whoever
 * holds it renews it; the others take it once they have seen it unchanged for as long as it lasts. Where the API server
 * does not answer or refuses, nobody leads, and it is tried on.
 */
export function createLeader(options: LeaderOptions): Leader {
  const closing = new AbortController();
  const timing = options.timing ?? TIMING;
  const election: Election = {
    options,
    timing,
    claim: createLeaseClaim({ ...options, durationMs: timing.durationMs }),
    signal: closing.signal,
    renewedAt: undefined,
    holder: '',
  };
  const running = elect(election);
  let ended: Promise<void> | undefined;
  return {
    isLeader: () => mayAct(election),
    async close() {
      closing.abort();
      await (ended ??= running.then(async () => await end(election)));
    },
  };
}
