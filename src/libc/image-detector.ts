import { createAnswers } from './answer.ts';
import { closed, failedDetection, readFailure } from './detection-failure.ts';
import type { Detection, Detector, DetectRequest, Inspect } from './detector.ts';
import { detectionEvent, tell, type DetectorHooks } from './detector-hooks.ts';
import { createFailureMemory } from './failure-memory.ts';
import { ImageSourceError, type ImageSources } from './image-source.ts';
import { createFullScans } from './full-scan.ts';
import { lookAgain, withLogins, type LookupParts, type LookupResult } from './look-up.ts';
import { createSlots } from './lookup-slots.ts';
import { createManifestMemory } from './manifest-memory.ts';
import { createSharedVerdicts } from './shared-verdicts.ts';
import { createFlights } from './single-flight.ts';
import { createVerdictMemory } from './verdict-memory.ts';
import type { VerdictStore } from './verdict-store.ts';

export interface ImageDetectorOptions {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  /** Looks again, in the background, where `inspect` was not sure: whole layers, within its own limits. Absent: never. */
  readonly inspectFully?: Inspect;
  /** Asked before the registry, and closed by who made it. Absent: every replica finds out by itself. */
  readonly store?: VerdictStore;
  /** Most verdicts that are remembered. */
  readonly entries: number;
  /** Most bytes that they may take, approximately. Default 32 MiB. */
  readonly bytes?: number;
  /** Milliseconds for which a tag is taken to stand for the same image. */
  readonly tagTtlMs: number;
  /** Milliseconds for which a failure is not tried again. */
  readonly failureTtlMs: number;
  /** Milliseconds since 1970. */
  readonly clock: { now(): number };
  /** Milliseconds a look-up may go on after the first deadline that it missed. Default 30,000. */
  readonly backgroundMs?: number;
  /** Most look-ups under way at once. Default 32. */
  readonly concurrency?: number;
  /** Most look-ups that wait for others to end; more are not begun (`shed`). Default 256. */
  readonly queue?: number;
  readonly hooks?: DetectorHooks;
}

export interface DetectorStats {
  readonly underWay: number;
  readonly queued: number;
  readonly verdicts: number;
  readonly references: number;
  readonly failures: number;
  /** Approximate bytes of verdicts and references. */
  readonly bytes: number;
}

export interface ImageDetector extends Detector {
  recall(request: DetectRequest): Detection | undefined;
  /** Ends all look-ups and waits for them; from then on everything is unknown (`disabled`). */
  close(): Promise<void>;
  stats(): DetectorStats;
}

/**
 * Finds the resolver in an image: from memory, else from the shared store, else from the registry. One look-up at a time
 * for an image, command line and set of logins; it outlives those who wait for it. A tag older than its TTL answers from
 * memory while one look-up in the background sees whether it has moved.
 */
export function createImageDetector(options: ImageDetectorOptions): ImageDetector {
  const { hooks = {}, backgroundMs = 30_000, concurrency = 32, queue = 256 } = options;
  const parts = createParts(options, hooks);
  const { memory, failures, onError } = parts;
  const slots = createSlots(concurrency, queue);
  const flights = createFlights<LookupResult>({ slots, backgroundMs, notBegun });
  const scans = createFullScans({
    timeMs: 2 * backgroundMs,
    retryMs: options.failureTtlMs,
    clock: options.clock,
    scan: async (task, known, context) => await lookAgain(parts, task, known, await withLogins(task.request, context)),
  });
  const answers = createAnswers({ ...parts, hooks, slots, flights, scans });
  const given = createGiving(hooks);
  let isClosed = false;
  return {
    recall(request) {
      const began = performance.now();
      try {
        const detection = isClosed ? failedDetection(closed) : answers.recall(request);
        return detection && given(detection, began);
      } catch {
        // `detect` says what is wrong.
        return undefined;
      }
    },
    async detect(request, deadline) {
      const began = performance.now();
      const answering = isClosed ? Promise.resolve(failedDetection(closed)) : answers.find(request, deadline);
      const detection = await answering.catch((error: unknown) => {
        if (!(error instanceof ImageSourceError)) onError(error);
        return failedDetection(readFailure(error));
      });
      return given(detection, began);
    },
    async close() {
      isClosed = true;
      await flights.close();
      await scans.close();
    },
    stats() {
      const queued = slots.waiting();
      return { underWay: flights.count() - queued, queued, failures: failures.size(), ...memory.size() };
    },
  };
}

/** What answers are made with. */
function createParts(options: ImageDetectorOptions, hooks: DetectorHooks): ImageDetectorOptions & LookupParts {
  const onError = (error: unknown): void => tell(() => hooks.onError?.(error));
  return {
    ...options,
    memory: createVerdictMemory({ ...options, bytes: options.bytes ?? 32 * 1024 * 1024 }),
    failures: createFailureMemory({ ...options, entries: Math.ceil(options.entries / 4) }),
    manifests: createManifestMemory(options.tagTtlMs, options.clock),
    shared: createSharedVerdicts(options.store, options.clock, onError),
    onError,
  };
}

/** Tells of an answer, and gives it. */
function createGiving(hooks: DetectorHooks): (detection: Detection, began: number) => Detection {
  return (detection, began) => {
    tell(() => hooks.onDetection?.(detectionEvent(detection, performance.now() - began)));
    return detection;
  };
}

function notBegun(signal: AbortSignal): LookupResult {
  const failure = readFailure(signal.reason, signal);
  if (failure.code === 'disabled') return { failure };
  return { failure: { code: 'shed', message: 'not looked up: others took too long before it' } };
}
