import { unknownVerdict } from '../policy/verdict.ts';
import { printable } from '../util/text.ts';
import type { Detection, DetectionFailure } from './detector.ts';
import { ImageSourceError, type Meter } from './image-source.ts';

/** Why there is no verdict, as `Detection.failure` has it. */
export interface Failure {
  readonly code: DetectionFailure;
  readonly message: string;
}

export const lookupAbort = {
  outOfTime: (milliseconds: number): DOMException =>
    new DOMException(
      `the look-up did not end within ${milliseconds} ms after the Pod had to be answered`,
      'TimeoutError',
    ),
  gaveWay: (): DOMException =>
    new DOMException('the look-up took long and was given up when others had to wait for it', 'TimeoutError'),
  closing: (): DOMException => new DOMException('image detection is shutting down', 'AbortError'),
};

export const leftAtDeadline: Failure = {
  code: 'deadline',
  message: 'the look-up did not finish in the time a Pod may wait; it goes on for the next one',
};

export const closed: Failure = { code: 'disabled', message: lookupAbort.closing().message };

/** Whether it was the host's state, or time, that was in the way: a later look-up may fare better. */
export function isPassing(code: DetectionFailure): boolean {
  return code === 'rate-limited' || code === 'unavailable';
}

/** Messages quote what registries say. */
const mostCharacters = 400;

/**
 * Reads what a look-up rejected with, or the reason it was ended for. Of errors that are none of the source's only the
 * name is told: their message may hold anything, a credential too.
 */
export function readFailure(error: unknown, signal?: AbortSignal): Failure {
  if (signal?.aborted === true) return readAbort(signal.reason);
  if (error instanceof ImageSourceError) return { code: error.code, message: printable(error.message, mostCharacters) };
  const name = error instanceof Error ? error.name : typeof error;
  return {
    code: 'internal',
    message: `the look-up failed inside (${printable(name, mostCharacters)}); the log says more`,
  };
}

function readAbort(reason: unknown): Failure {
  const isTimeout = reason instanceof DOMException && reason.name === 'TimeoutError';
  return isTimeout ? { code: 'unavailable', message: reason.message } : closed;
}

/** The detection that says why there is no verdict. */
export function failedDetection(failure: Failure, meter: Meter = { requests: 0, bytes: 0 }): Detection {
  const verdict = unknownVerdict(`${failure.message} (${failure.code})`);
  return { verdict, from: 'none', failure, meter: { requests: meter.requests, bytes: meter.bytes } };
}
