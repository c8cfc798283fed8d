import { unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { printable } from '../util/text.ts';
import {
  type Credential,
  type ImageSource,
  type ImageSourceCode,
  ImageSourceError,
  type LookupContext,
  type Meter,
  type Platform,
} from './image-source.ts';

/** Registry logins and the registries they are for, most specific first. */
export type Logins = readonly { readonly host: string; readonly credential: Credential }[];

/**
 * What a container runs: its image, and the Pod's own `command`, `args` (empty: the image's) and `env`, which wins over the
 * image's.
 */
export interface DetectRequest {
  readonly reference: string;
  readonly platform: Platform;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Or how to get them, which is done only where a registry is asked: an image that is known waits for no login. */
  readonly credentials?: Logins | (() => Promise<Logins>);
  /** A rehearsal (admission's dryRun): what is found may be remembered, but not written anywhere. */
  readonly dryRun?: boolean;
  /** Nobody waits for the answer (warm-up): what is known is answered, however old, and costs nothing. */
  readonly ahead?: boolean;
}

/** The parts of a container that a look-up depends on, besides its image. */
export type ContainerRun = Pick<DetectRequest, 'command' | 'args' | 'env'>;

export const containerRun = ({ command, args, env }: ContainerRun): ContainerRun => ({
  command,
  args,
  ...(env !== undefined && { env }),
});

/** What looking into one image found. */
export interface Inspection {
  readonly verdict: Verdict;
  /** Digest of the platform's manifest. */
  readonly digest: string;
  readonly platform: Platform;
  /** Absolute path of the program inside the image that the verdict is about, where it is known. */
  readonly executable?: string;
  /**
   * What alone led to this, where no other word of the command line had a part in it: the image's Entrypoint, or the first
   * of the Pod's own words (`command`, else `args`). Absent: all words count, as with wrappers, shells and scripts.
   */
  readonly decidedBy?: 'entrypoint' | 'first-word';
  /** Found by an older version of the rules (`DETECTOR_VERSION`): it answers until it has been looked up afresh. */
  readonly outdated?: true;
}

/** Looks into an image. Rejects with `ImageSourceError` or with the context's abort reason; never for what the image holds. */
export type Inspect = (source: ImageSource, request: DetectRequest, context: LookupContext) => Promise<Inspection>;

/** Why a detection has no verdict: the source's code, or one of our own. */
export type DetectionFailure = ImageSourceCode | 'deadline' | 'shed' | 'disabled' | 'internal';

export interface Detection extends Partial<Omit<Inspection, 'verdict'>> {
  readonly verdict: Verdict;
  /** Who answered. */
  readonly from: 'memory' | 'store' | 'registry' | 'none';
  readonly failure?: { readonly code: DetectionFailure; readonly message: string };
  /** What this answer cost, look-ups shared with others included once they are done. */
  readonly meter: Meter;
}

/** Finds the resolver in an image. */
export interface Detector {
  /**
   * Never rejects: what cannot be found out in time is `unknown` with a `failure`. A look-up that outlives
   * `deadline` goes on in the background, within its own limits, for the next Pod.
   */
  detect(request: DetectRequest, deadline: AbortSignal): Promise<Detection>;
  /** What `detect` would answer without waiting for anything: most Pods' images, which then cost no timer and no promise. */
  recall?(request: DetectRequest): Detection | undefined;
}

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

/**
 * Version of the rules by which verdicts are found. One more whenever a change of the rules can change a verdict: what an
 * older version has stored still answers, and is looked up afresh in the background.
 */
export const DETECTOR_VERSION = 2;
