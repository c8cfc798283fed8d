import type { Trouble } from '../telemetry/reporter.ts';
import { pause } from '../util/abort.ts';
import { asKubeError } from './errors.ts';
import { createLeaseClaim, type LeaseClaim, type LeaseClaimOptions } from './lease.ts';

interface LeaderOptions extends Omit<LeaseClaimOptions, 'durationMs'> {
  /** Called when this replica becomes the leader. */
  readonly onStarted?: () => void;
  /** Called when this replica no longer leads. The election waits for it, but not for longer than the Lease lasts. */
  readonly onStopped?: (why: string) => void | Promise<void>;
  /** Called when another replica becomes the leader. */
  readonly onLeader?: (identity: string) => void;
  /** Reported while the Lease cannot be read or written. */
  readonly trouble?: Trouble;
  readonly timing?: LeaderTiming;
}

/** client-go's LeaseDuration, RenewDeadline and RetryPeriod, in milliseconds. Each has to be shorter than the one before. */
interface LeaderTiming {
  /** For how long no other replica may take the Lease. Whole seconds. */
  readonly durationMs: number;
  /** After how long a leader that cannot renew the Lease stops. */
  readonly renewMs: number;
  /** The wait between attempts; up to a fifth is added. */
  readonly retryMs: number;
}

export interface Leader {
  /**
   * Reports whether this replica leads now. Call it before each action: a process that was suspended learns only here that
   * it no longer leads. False once the Lease was not renewed in time, by either clock.
   */
  isLeader(): boolean;
  /** Stops leading and frees the Lease. Never rejects. */
  close(): Promise<void>;
}

/** Slower than client-go's 15, 10 and 2 seconds, for little depends on who leads: it means fewer API calls. */
const TIMING: LeaderTiming = { durationMs: 30_000, renewMs: 20_000, retryMs: 5000 };

const RELEASE_MS = 2000;

const LEAST_TIMEOUT_MS = 100;

/**
 * Takes part in the election of one replica by a Lease (coordination.k8s.io/v1), as client-go's leaderelection does: the
 * holder renews it; the others take it once they have seen it unchanged for its duration. While the API server does not
 * answer or refuses, no replica leads, and each goes on trying.
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

interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

interface Election {
  readonly options: LeaderOptions;
  readonly timing: LeaderTiming;
  readonly claim: LeaseClaim;
  readonly signal: AbortSignal;
  /** When the last successful renewal was sent. Undefined: we do not lead. */
  renewedAt: Moment | undefined;
  /** The last leader that was reported. */
  holder: string;
}

/** Takes the larger of two clocks: a monotonic clock stops while the machine is suspended, a wall clock may be set back. */
function msSince(moment: Moment, clock: LeaderOptions['clock']): number {
  return Math.max(clock.now() - moment.wall, clock.monotonic() - moment.monotonic);
}

function mayAct({ renewedAt, timing, options }: Election): boolean {
  return renewedAt !== undefined && msSince(renewedAt, options.clock) < timing.renewMs;
}

/** Stops leading. Resolves to whether `onStopped` has ended within the duration of the Lease. */
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
    // First of all: the process may have been suspended for longer than its Lease.
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
  // Even if we do not know that we lead: the response to our last write may have been lost.
  await election.claim.release(limits).catch(() => undefined);
}
