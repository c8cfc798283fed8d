import { beforeAbort } from '../util/abort.ts';
import { type Group, type Outcome, skipped, errorText } from './check.ts';

/** A single check. */
export interface Check {
  /** Lower case with dashes, for `--check`, `--skip` and programs. */
  readonly id: string;
  readonly group: Group;
  /** Timeout in milliseconds; default {@link CHECK_MS}. */
  readonly timeoutMs?: number;
  /** May reject: the check is then reported as skipped, and the others go on. */
  readonly run: (signal: AbortSignal) => Promise<Outcome>;
}

export interface Checked extends Outcome {
  readonly id: string;
  readonly group: Group;
  readonly durationMs: number;
}

/** Milliseconds: enough for two calls in a row to a slow API server, of up to ten seconds each. */
const CHECK_MS = 25_000;

/** Returns the outcome of a check that rejected. */
function rejected(error: unknown): Outcome {
  const { code, message } = error as { code?: unknown; message?: unknown };
  // The check `api-server` reports the reason once for all.
  if (code === 'no-cluster') return skipped(errorText(error), { data: { needs: 'cluster' } });
  if (code === 'forbidden' || code === 'unauthorized') {
    return skipped(`not looked at: ${errorText(error)}`, { data: { needs: 'right', error: message } });
  }
  return skipped(
    typeof code === 'string' ? `not looked at: ${errorText(error)}` : `the check itself failed: ${errorText(error)}`,
  );
}

async function runOne(check: Check, stop: AbortSignal): Promise<Checked> {
  const started = performance.now();
  const limit = check.timeoutMs ?? CHECK_MS;
  const late = AbortSignal.timeout(limit);
  const signal = AbortSignal.any([stop, late]);
  const run = async (): Promise<Outcome> => await check.run(signal).catch(rejected);
  const outcome =
    (signal.aborted ? undefined : await beforeAbort(run(), signal)) ??
    skipped(late.aborted ? `gave up after ${limit / 1000} s` : 'interrupted');
  return { id: check.id, group: check.group, ...outcome, durationMs: performance.now() - started };
}

/**
 * Runs all checks at once and returns them in the given order. Never rejects: a check that rejects or exceeds its timeout is
 * reported as skipped. Calls `onDone` as each check ends.
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
