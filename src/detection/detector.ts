import { unknownVerdict, type Verdict } from '../policy/verdict.ts';
import type { Span } from '../telemetry/tracing.ts';
import { commandInImage } from './pod/exec-wrappers.ts';
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
 * image's. The other fields are those of policy's `ContainerView`.
 */
export interface DetectRequest {
  readonly reference: string;
  readonly platform: Platform;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Names of `env` whose value comes from elsewhere. */
  readonly envElsewhere?: readonly string[];
  /** The Pod has an `envFrom`. */
  readonly envFrom?: boolean;
  readonly workingDir?: string;
  /** The Pod's `runAsUser`. */
  readonly user?: string;
  /** Where the Pod mounts volumes, absolute. */
  readonly mounts?: readonly string[];
  /** The namespace of the Pod or workload: look-ups are shared out among namespaces. Absent: a person asks. */
  readonly tenant?: string;
  /** The logins, or a function that reads them. It is called only before a registry is asked: a known image waits for no login. */
  readonly credentials?: Logins | (() => Promise<Logins>);
  /** Admission's dryRun: what is found may be remembered, but not written anywhere. */
  readonly dryRun?: boolean;
  /** Warm-up: nobody waits for the answer. A remembered verdict is returned however old it is, and nothing is revalidated. */
  readonly ahead?: boolean;
  /** The span of the review that asks. */
  readonly span?: Span | undefined;
}

/** The parts of a container that a look-up depends on, besides its image. */
export type ContainerRun = Pick<
  DetectRequest,
  'command' | 'args' | 'env' | 'envElsewhere' | 'envFrom' | 'workingDir' | 'user' | 'mounts'
>;

/**
 * What is kept of a container: words and characters of its command line, characters of a variable and of all variables, mounts.
 * Look-ups outlive their Pods, whose author chooses how long all of it is. No more of a shell's text is read, no path is longer.
 */
const MOST_WORDS = 1024;
const MOST_CHARACTERS = 64 * 1024;
const MOST_VALUE = 4096;
const MOST_MOUNTS = 1024;

/** Copies: a slice would keep the whole text in memory. */
const cut = (text: string, most: number): string =>
  text.length <= most ? text : Buffer.from(text.slice(0, most)).toString();

/** Returns the words up to `most` characters in all; the last one cut. */
function firstWords(words: readonly string[], most: number): readonly string[] {
  const kept: string[] = [];
  let left = most;
  for (const word of words.slice(0, MOST_WORDS)) {
    if (left <= 0) break;
    kept.push(cut(word, left));
    left -= word.length;
  }
  return kept;
}

function boundedRun({ command, args }: Pick<ContainerRun, 'command' | 'args'>): Pick<ContainerRun, 'command' | 'args'> {
  const first = firstWords(command, MOST_CHARACTERS);
  const taken = first.reduce((sum, word) => sum + word.length, 0);
  return { command: first, args: firstWords(args, MOST_CHARACTERS - taken) };
}

/** Leaves variables out that are too long, or too many: they count as unknown, as those of `envFrom` do. */
function boundedEnv({ env = {}, envElsewhere = [], envFrom }: ContainerRun): Partial<ContainerRun> {
  let left = MOST_CHARACTERS;
  const fits = (name: string, value = ''): boolean => {
    const length = name.length + value.length;
    if (length > MOST_VALUE || length > left) return false;
    left -= length;
    return true;
  };
  const names = Object.keys(env);
  const given = names.filter((name) => fits(name, env[name]));
  const elsewhere = envElsewhere.filter((name) => fits(name));
  const all = given.length === names.length && elsewhere.length === envElsewhere.length;
  return {
    ...(given.length > 0 && { env: given.length === names.length ? env : picked(env, given) }),
    ...(elsewhere.length > 0 && { envElsewhere: elsewhere }),
    ...((envFrom === true || !all) && { envFrom: true as const }),
  };
}

const picked = (env: Readonly<Record<string, string>>, names: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(names.map((name) => [name, env[name] ?? '']));

/** Returns what a container runs of its image: without a program that comes from a volume, and without what no look-up reads. */
export function containerRun(given: ContainerRun): ContainerRun {
  const { command, args, workingDir, user } = given;
  const mounts = given.mounts?.filter((path) => path.length <= MOST_VALUE).slice(0, MOST_MOUNTS);
  return {
    ...boundedRun(commandInImage({ command, args, ...(mounts && { mounts }) }) ?? { command, args }),
    ...boundedEnv(given),
    ...(workingDir !== undefined && { workingDir: cut(workingDir, MOST_VALUE) }),
    ...(user !== undefined && { user: cut(user, MOST_VALUE) }),
    ...(mounts !== undefined && { mounts }),
  };
}

/** What looking into one image found. */
export interface Inspection {
  readonly verdict: Verdict;
  /** Digest of the platform's manifest. */
  readonly digest: string;
  readonly platform: Platform;
  /** Absolute path, inside the image, of the program that the verdict is about; undefined if not known. */
  readonly executable?: string;
  /**
   * The part of the command line that alone decided the verdict: the image's Entrypoint, or the first of the Pod's own
   * words (`command`, else `args`). Absent: all words count, as with wrappers, shells and scripts.
   */
  readonly decidedBy?: 'entrypoint' | 'first-word';
  /** Found by an older version of the rules (`DETECTOR_VERSION`): used until a new look-up replaces it. */
  readonly outdated?: true;
}

/** Inspects an image. Rejects with `ImageSourceError` or with the context's abort reason; never because of the image's content. */
export type Inspect = (source: ImageSource, request: DetectRequest, context: LookupContext) => Promise<Inspection>;

/** Why a detection has no verdict: the image source's code, or one of our own. */
export type DetectionFailure = ImageSourceCode | 'deadline' | 'disabled' | 'internal' | 'quarantined';

export interface Detection extends Partial<Omit<Inspection, 'verdict'>> {
  readonly verdict: Verdict;
  /** Where the verdict came from. */
  readonly from: 'memory' | 'store' | 'registry' | 'none';
  readonly failure?: { readonly code: DetectionFailure; readonly message: string };
  /** The cost of this answer; a look-up shared with other requests counts in full, once it is done. */
  readonly meter: Meter;
}

/** Finds the resolver in an image. */
export interface Detector {
  /**
   * Never rejects: what cannot be found in time is `unknown` with a `failure`. A look-up that outlives `deadline`
   * continues in the background, within its own limits, for the next Pod.
   */
  detect(request: DetectRequest, deadline: AbortSignal): Promise<Detection>;
  /**
   * Returns what `detect` would answer without waiting; undefined if it would have to wait. Most Pods' images are known,
   * and then cost no timer and no promise.
   */
  peek?(request: DetectRequest): Detection | undefined;
}

/** A detector, and what has to be closed with it. */
export interface OpenDetector {
  /** Absent if look-ups are off. */
  readonly detector?: Detector;
  readonly stats?: () => { readonly underWay: number; readonly queued: number; readonly verdicts: number };
  readonly close: () => Promise<void>;
}

/** Why there is no verdict, as `Detection.failure` has it. */
export interface Failure {
  readonly code: DetectionFailure;
  readonly message: string;
}

/**
 * Why a look-up was ended before it was done: says nothing about the image, unless its code is `unavailable`.
 */
export class LookupEnded extends Error {
  override readonly name = 'LookupEnded';
  readonly code: DetectionFailure;

  constructor(code: DetectionFailure, message: string) {
    super(message);
    this.code = code;
  }
}

export const lookupAbort = {
  outOfTime: (milliseconds: number): LookupEnded =>
    new LookupEnded(
      'unavailable',
      `the look-up did not end within ${milliseconds} ms after the Pod had to be answered`,
    ),
  // Not `unavailable`: that would be remembered of the image, which may be well.
  gaveWay: (): LookupEnded =>
    new LookupEnded('deadline', 'the look-up took long and was given up when others had to wait for it'),
  noMemory: (): LookupEnded =>
    new LookupEnded('shed', 'not looked into: other images take all memory that look-ups may have'),
  closing: (): LookupEnded => new LookupEnded('disabled', 'image detection is shutting down'),
};

export const leftAtDeadline: Failure = {
  code: 'deadline',
  message: 'the look-up did not finish in the time a Pod may wait; it goes on for the next one',
};

export const closed: Failure = { code: 'disabled', message: lookupAbort.closing().message };

/** Reports whether the host's state or a time limit caused the failure: a later look-up may succeed. */
export function isPassing(code: DetectionFailure): boolean {
  return code === 'rate-limited' || code === 'unavailable';
}

/** Messages are cut: they quote what registries say. */
const mostCharacters = 400;

/**
 * Turns what a look-up rejected with, or the reason it was aborted for, into a failure. Of an error that is not an
 * `ImageSourceError` only the name is given: its message may hold anything, even a credential.
 */
export function readFailure(error: unknown, signal?: AbortSignal): Failure {
  if (signal?.aborted === true) return readAbort(signal.reason);
  if (error instanceof ImageSourceError) return { code: error.code, message: printable(error.message, mostCharacters) };
  if (error instanceof LookupEnded) return { code: error.code, message: error.message };
  const name = error instanceof Error ? error.name : typeof error;
  return {
    code: 'internal',
    message: `the look-up failed inside (${printable(name, mostCharacters)}); the log says more`,
  };
}

function readAbort(reason: unknown): Failure {
  return reason instanceof LookupEnded ? { code: reason.code, message: reason.message } : closed;
}

/** Returns an unknown verdict that says why there is no other. */
export function failedDetection(failure: Failure, meter: Meter = { requests: 0, bytes: 0 }): Detection {
  const verdict = unknownVerdict(`${failure.message} (${failure.code})`);
  return { verdict, from: 'none', failure, meter: { requests: meter.requests, bytes: meter.bytes } };
}

/**
 * Version of the detection rules. Increase it whenever a change of the rules can change a verdict: verdicts that an older
 * version has stored are still used, and looked up again in the background.
 */
export const DETECTOR_VERSION = 5;
