import { randomBytes } from 'node:crypto';
import { failedDetection, leftAtDeadline, type Failure } from './detection-failure.ts';
import { detectionKeys, loginKey, type DetectionKeys } from './detection-keys.ts';
import type { Detection, DetectRequest } from './detector.ts';
import { detectionEvent, tell, type DetectorHooks } from './detector-hooks.ts';
import { ImageSourceError, type Meter } from './image-source.ts';
import { lookUp, withLogins, type LookupParts, type LookupResult, type LookupTask } from './look-up.ts';
import type { FullScans } from './full-scan.ts';
import type { Slots } from './lookup-slots.ts';
import type { Flight, Flights } from './single-flight.ts';

const longestReference = 1024;

export interface AnswerParts extends LookupParts {
  readonly slots: Slots;
  readonly flights: Flights<LookupResult>;
  readonly hooks: DetectorHooks;
  readonly scans: FullScans;
}

/** Gives what is remembered, else begins or joins a look-up. Rejects where the reference cannot be read. */
export type Answer = (request: DetectRequest, deadline: AbortSignal) => Promise<Detection>;

export function createAnswer(parts: AnswerParts): Answer {
  const { memory, failures, slots, flights, hooks, scans } = parts;
  const secret = randomBytes(32);
  const revalidating = new Set<string>();

  const begin = (task: LookupTask): Flight<LookupResult> | undefined =>
    flights.join(`${task.keys.image} ${task.keys.run} ${task.login}`, async (context) => {
      const began = performance.now();
      const result = await lookUp(parts, task, withLogins(task.request, context));
      tell(() => hooks.onLookup?.(detectionEvent(detectionOf(result, context.meter), performance.now() - began)));
      if ('inspection' in result) scans.follow(task, result.inspection);
      return result;
    });

  const revalidate = (keys: DetectionKeys, request: DetectRequest): void => {
    // A tag that is a little older still is a smaller loss than a Pod that has to queue behind its revalidation.
    if (revalidating.has(keys.image) || slots.free() === 0) return;
    const login = loginKey(request.credentials, secret);
    if (failures.find(keys, login) !== undefined) return;
    const flight = begin({ keys, login, request, revalidates: true });
    if (flight === undefined) return;
    revalidating.add(keys.image);
    flight.leave();
    void flight.result.finally(() => revalidating.delete(keys.image));
  };

  return async (request, deadline) => {
    const keys = detectionKeys(request, canonicalName(parts.sources, request.reference));
    const known = memory.find(keys);
    if (known !== undefined) {
      if (!known.fresh) revalidate(keys, request);
      return { ...known.inspection, from: 'memory', meter: { requests: 0, bytes: 0 } };
    }
    const login = loginKey(request.credentials, secret);
    const failure = failures.find(keys, login);
    if (failure !== undefined) return failedDetection(failure);
    const flight = begin({ keys, login, request, revalidates: false });
    if (flight === undefined) return failedDetection(shed);
    const result = await flight.wait(deadline);
    return detectionOf(result ?? { failure: leftAtDeadline }, flight.meter);
  };
}

function canonicalName(sources: AnswerParts['sources'], reference: string): string {
  if (reference.length <= longestReference) return sources.canonical(reference);
  const message = `the image reference is longer than ${longestReference} characters`;
  throw new ImageSourceError('invalid-reference', message);
}

function detectionOf(result: LookupResult, meter: Meter): Detection {
  if ('failure' in result) return failedDetection(result.failure, meter);
  return { ...result.inspection, from: result.from, meter: { requests: meter.requests, bytes: meter.bytes } };
}

const shed: Failure = { code: 'shed', message: 'not looked up: too many other look-ups wait already' };
