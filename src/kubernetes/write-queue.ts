import type { Trouble } from '../telemetry/reporter.ts';
import type { Span } from '../telemetry/tracing.ts';
import { type Backoff, backoffMs, beforeAbort, pause } from '../util/abort.ts';
import type { TokenBucket } from '../util/limits/token-bucket.ts';
import type { KubeClient, KubeRequest } from './client.ts';
import { type KubeError, type KubeErrorCode, transportError } from './errors.ts';

export interface WriteQueueOptions {
  readonly client: Pick<KubeClient, 'request'>;
  /** The first write waits for it. Never rejects. */
  readonly ready: Promise<void>;
  readonly pace: TokenBucket;
  /** Most writes that wait; a further one replaces the oldest. */
  readonly most: number;
  /** Codes with which the API server refuses this one write; all others mean that nothing can be written now. */
  readonly refusals: ReadonlySet<KubeErrorCode>;
  /** Milliseconds: the first wait after a failure, doubled at each further one up to `most`, with jitter. */
  readonly backoff?: Backoff;
  /** Reported while nothing can be written. */
  readonly trouble?: Trouble;
  /** Called with the API server's answer to a write. */
  readonly onWritten?: (name: string, answer: unknown) => void;
  /** Called when the API server has refused a write: it is not tried again. */
  readonly onRefused?: (name: string, error: KubeError) => void;
  /** Called with the result of each attempt; `dropped`: a newer write took its place. */
  readonly count?: (result: WriteResult) => void;
  /** Starts the span of one attempt; undefined if nobody asks for traces. */
  readonly trace?: (name: string) => Span | undefined;
}

type WriteResult = 'written' | 'dropped' | KubeErrorCode;

/** Makes the request when its turn has come; undefined if there is nothing left to write. */
type Plan = () => KubeRequest | undefined;

/** Writes in the background, one object after the other. */
export interface WriteQueue {
  /** Replaces a waiting write of the same name. */
  add(name: string, plan: Plan): void;
  readonly waiting: number;
  /** Writes what waits, for at most `graceMs` and without waits for tokens or after failures, and ends. */
  close(graceMs: number): Promise<void>;
}

const DEFAULT_BACKOFF: Backoff = { first: 1000, most: 60_000 };

interface Lane {
  readonly options: WriteQueueOptions;
  readonly waiting: Map<string, Plan>;
  readonly ending: AbortController;
  readonly ended: AbortController;
  failures: number;
  draining: boolean;
}

/** Notes that the API server accepts writes, even if it refused this one. */
function recovered(lane: Lane): void {
  if (lane.failures > 0) lane.options.trouble?.recovered();
  lane.failures = 0;
}

async function backOff(lane: Lane, error: KubeError): Promise<void> {
  const { backoff = DEFAULT_BACKOFF, trouble } = lane.options;
  trouble?.lost(error);
  const waitMs = backoffMs(backoff, lane.failures);
  lane.failures += 1;
  await pause(waitMs, lane.ending.signal);
}

async function send({ options, ended }: Lane, name: string, request: KubeRequest): Promise<unknown> {
  const span = options.trace?.(name);
  try {
    return await options.client.request({ ...request, signal: ended.signal });
  } catch (error) {
    const { code, message } = transportError(error, name);
    span?.fail(code, message);
    throw error;
  } finally {
    span?.end();
  }
}

async function writeOne(lane: Lane, name: string, plan: Plan): Promise<void> {
  const { pace, refusals, onWritten, onRefused, count } = lane.options;
  const request = plan();
  if (request === undefined) return;
  pace.take();
  try {
    const answer = await send(lane, name, request);
    recovered(lane);
    count?.('written');
    onWritten?.(name, answer);
  } catch (error) {
    if (lane.ended.signal.aborted) return;
    const known = transportError(error, name);
    count?.(known.code);
    if (refusals.has(known.code)) {
      recovered(lane);
      onRefused?.(name, known);
      return;
    }
    // Tries this write again, unless a newer one of the same name waits.
    if (!lane.waiting.has(name) && !lane.ending.signal.aborted) lane.waiting.set(name, plan);
    await backOff(lane, known);
  }
}

async function drain(lane: Lane): Promise<void> {
  await beforeAbort(lane.options.ready, lane.ending.signal);
  while (!lane.ended.signal.aborted) {
    const wait = lane.ending.signal.aborted ? 0 : lane.options.pace.wait();
    if (wait > 0) await pause(wait, lane.ending.signal);
    const [next] = lane.waiting;
    if (next === undefined) break;
    lane.waiting.delete(next[0]);
    await writeOne(lane, ...next);
  }
  lane.draining = false;
}

export function createWriteQueue(options: WriteQueueOptions): WriteQueue {
  const lane: Lane = {
    options,
    waiting: new Map(),
    ending: new AbortController(),
    ended: new AbortController(),
    failures: 0,
    draining: false,
  };
  let running = Promise.resolve();
  return {
    add(name, plan) {
      if (lane.ending.signal.aborted) return;
      lane.waiting.delete(name);
      const [oldest] = lane.waiting.keys();
      if (lane.waiting.size >= options.most && oldest !== undefined) {
        lane.waiting.delete(oldest);
        options.count?.('dropped');
      }
      lane.waiting.set(name, plan);
      if (lane.draining) return;
      lane.draining = true;
      running = drain(lane);
    },
    get waiting() {
      return lane.waiting.size;
    },
    async close(graceMs) {
      lane.ending.abort();
      const limit = AbortSignal.timeout(graceMs);
      await beforeAbort(running, limit);
      lane.ended.abort();
      await running;
    },
  };
}
