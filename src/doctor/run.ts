import { beforeAbort } from '../util/abort.ts';
import { type Group, type Outcome, skipped, why } from './check.ts';

/** One thing that is looked at. */
export interface Check {
  /** In lower case with dashes: for `--check`, `--skip` and programs. */
  readonly id: string;
  readonly group: Group;
  /** Milliseconds after which it is given up; default {@link CHECK_MS}. */
  readonly timeoutMs?: number;
  /** May reject: that is reported as skipped, and no other check notices. */
  readonly run: (signal: AbortSignal) => Promise<Outcome>;
}

export interface Checked extends Outcome {
  readonly id: string;
  readonly group: Group;
  readonly durationMs: number;
}

/** Milliseconds for one check: a slow API server takes ten for each of two calls in a row. */
const CHECK_MS = 25_000;

/** What is said of a check that could not be carried out. */
function notSeen(error: unknown): Outcome {
  const { code, message } = error as { code?: unknown; message?: unknown };
  // Said once, by the check of the API server.
  if (code === 'no-cluster') return skipped(why(error), { data: { needs: 'cluster' } });
  if (code === 'forbidden' || code === 'unauthorized') {
    return skipped(`not looked at: ${why(error)}`, { data: { needs: 'right', error: message } });
  }
  return skipped(typeof code === 'string' ? `not looked at: ${why(error)}` : `the check itself failed: ${why(error)}`);
}

async function runOne(check: Check, stop: AbortSignal): Promise<Checked> {
  const started = performance.now();
  const limit = check.timeoutMs ?? CHECK_MS;
  const late = AbortSignal.timeout(limit);
  const signal = AbortSignal.any([stop, late]);
  const run = async (): Promise<Outcome> => await check.run(signal).catch(notSeen);
  const outcome =
    (signal.aborted ? undefined : await beforeAbort(run(), signal)) ??
    skipped(late.aborted ? `gave up after ${limit / 1000} s` : 'interrupted');
  return { id: check.id, group: check.group, ...outcome, durationMs: performance.now() - started };
}

/**
 * Runs all checks at once. Never rejects: a check that fails, or takes longer than it may, says so in its own place.
 * `onDone` hears of each as it ends.
 */
export async function runChecks(
  checks: readonly Check[],
  signal: AbortSignal,
  onDone: (checked: Checked) => void = () => {},
): Promise<readonly Checked[]> {
  return await Promise.all(
    checks.map(async (check) => {
      const checked = await runOne(check, signal);
      onDone(checked);
      return checked;
    }),
  );
}
