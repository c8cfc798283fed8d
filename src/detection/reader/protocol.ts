import { type DetectionFailure, type Inspection, type Logins, LookupEnded } from '../detector.ts';
import { type ImageSourceCode, ImageSourceError, type Meter, type RequestRecord } from '../image-source.ts';
import { type AfterManifest, type ReadRequest, ReadStopped } from './image-reader.ts';

/** What main sends to a reader process, as JSON. */
export type ToReader =
  | { readonly type: 'set-up'; readonly setUp: unknown }
  | {
      readonly type: 'read';
      readonly id: number;
      readonly request: ReadRequest;
      readonly credentials?: Logins;
      readonly more: boolean;
      /** Main wants to know each request. */
      readonly traced?: true;
    }
  | { readonly type: 'after-manifest'; readonly id: number; readonly answer: AfterManifest }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'ping' };

/** What a reader process sends to main. */
export type FromReader =
  /** It listens. */
  | { readonly type: 'hello' }
  /** It is set up, or cannot be. */
  | { readonly type: 'ready' }
  | { readonly type: 'refused'; readonly message: string }
  /** It waits for `after-manifest`. */
  | {
      readonly type: 'manifest';
      readonly id: number;
      readonly digest: string;
      readonly seenAt: number;
      readonly named?: string;
    }
  | {
      readonly type: 'done';
      readonly id: number;
      readonly meter: Meter;
      readonly outcome: ReadOutcome;
      /** The first {@link MOST_REQUESTS} of a traced read. */
      readonly requests?: readonly RequestRecord[];
    }
  | { readonly type: 'pong' }
  /** For the features that its creator has opened in it. */
  | { readonly type: 'event'; readonly event: unknown };

/** How a read ended. */
export type ReadOutcome =
  | { readonly kind: 'read'; readonly inspection: Inspection }
  | { readonly kind: 'failed'; readonly code: ImageSourceCode; readonly message: string }
  /** It was ended for a reason that is not the image's. */
  | { readonly kind: 'ended'; readonly code: DetectionFailure; readonly message: string }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'defect'; readonly name: string; readonly stack: string };

/** Requests of one read that are traced. */
export const MOST_REQUESTS = 64;

/** Returns the requests that a process told of, as far as they are what they should be: it has read strangers' bytes. */
export function requestsIn(told: unknown): readonly RequestRecord[] {
  const all: readonly Partial<RequestRecord>[] = Array.isArray(told) ? told.slice(0, MOST_REQUESTS) : [];
  return all.filter((one): one is RequestRecord => {
    const texts = [one?.kind, one?.origin, one?.repository, one?.reference ?? '', one?.error ?? ''];
    const numbers = [one?.at, one?.ms, one?.bytes, one?.status ?? 0];
    return texts.every((text) => typeof text === 'string') && numbers.every((number) => Number.isFinite(number));
  });
}

/** Characters of a message or a stack that cross the boundary: they quote what registries say. */
const MOST_TEXT = 4000;

/** Turns what a read rejected with into an outcome. */
export function outcomeOf(error: unknown, signal: AbortSignal): ReadOutcome {
  if (error instanceof ReadStopped) return { kind: 'stopped' };
  if (signal.aborted) return { kind: 'aborted' };
  if (error instanceof ImageSourceError) {
    return { kind: 'failed', code: error.code, message: error.message.slice(0, MOST_TEXT) };
  }
  if (error instanceof LookupEnded) return { kind: 'ended', code: error.code, message: error.message };
  const { name, stack = '' } = error instanceof Error ? error : new Error(typeof error);
  return { kind: 'defect', name: name.slice(0, 100), stack: stack.slice(0, MOST_TEXT) };
}

/** Returns the inspection of an outcome, or throws what the read rejected with. */
export function unwrap(outcome: ReadOutcome, signal: AbortSignal): Inspection {
  switch (outcome.kind) {
    case 'read':
      return outcome.inspection;
    case 'failed':
      throw new ImageSourceError(outcome.code, outcome.message);
    case 'ended':
      throw new LookupEnded(outcome.code, outcome.message);
    case 'stopped':
      throw new ReadStopped();
    case 'aborted':
      throw signal.reason;
    case 'defect':
      throw Object.assign(new Error(outcome.name), { name: outcome.name, stack: outcome.stack });
    default:
      return outcome satisfies never;
  }
}
