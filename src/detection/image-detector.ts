import { randomBytes } from 'node:crypto';

import type { Clock } from '../util/clock.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import { createFullScans, type FullScans } from './background-scan.ts';
import { createFailureMemory, createManifestMemory, createVerdictMemory, type Remembered } from './caches.ts';
import {
  closed,
  type Detection,
  type Detector,
  type DetectRequest,
  failedDetection,
  type Failure,
  type Inspect,
  type Inspection,
  leftAtDeadline,
  type Logins,
  readFailure,
} from './detector.ts';
import { createFlights, createSlots, type Flight, type Flights, type Slots } from './flights.ts';
import { ImageSourceError, type ImageSources, type Meter, type Platform } from './image-source.ts';
import { createKeyMemory, type DetectionKeys, loginKey } from './keys.ts';
import {
  type LoggedInTask,
  lookAgain,
  lookUp,
  type LookupParts,
  type LookupResult,
  type LookupTask,
  surer,
  withLogins,
} from './look-up.ts';
import { createSharedVerdicts, type StoredVerdict, type VerdictStore } from './verdict-store.ts';

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
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds a look-up may go on after the first deadline that it missed. Default 30,000. */
  readonly backgroundMs?: number;
  /** Most look-ups under way at once. Default 32. */
  readonly concurrency?: number;
  /** Most look-ups that wait for others to end; more are not begun (`shed`). Default 256. */
  readonly queue?: number;
  readonly reporter?: Reporter;
}

interface DetectorStats {
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
  const { reporter = silentReporter, backgroundMs = 30_000, concurrency = 32, queue = 256 } = options;
  const parts = createParts(options, reporter);
  const { memory, failures, onError } = parts;
  const slots = createSlots(concurrency, queue);
  const flights = createFlights<LookupResult>({ slots, backgroundMs, notBegun });
  const scans = createFullScans({
    timeMs: 2 * backgroundMs,
    retryMs: options.failureTtlMs,
    clock: options.clock,
    scan: async (task, known, context) => await lookAgain(parts, task, known, await withLogins(task.request, context)),
  });
  const answers = createAnswers({ ...parts, reporter, slots, flights, scans });
  const counted = (detection: Detection): Detection => {
    reporter.metrics.detected(detection.from, detection.failure?.code ?? 'none');
    return detection;
  };
  const stats = (): DetectorStats => {
    const queued = slots.waiting();
    return { underWay: flights.count() - queued, queued, failures: failures.size(), ...memory.size() };
  };
  reporter.metrics.detection.sizes(stats);
  let isClosed = false;
  return {
    recall(request) {
      try {
        const detection = isClosed ? failedDetection(closed) : answers.recall(request);
        return detection && counted(detection);
      } catch {
        // `detect` says what is wrong.
        return undefined;
      }
    },
    async detect(request, deadline) {
      const answering = isClosed ? Promise.resolve(failedDetection(closed)) : answers.find(request, deadline);
      const detection = await answering.catch((error: unknown) => {
        if (!(error instanceof ImageSourceError)) onError(error);
        return failedDetection(readFailure(error));
      });
      return counted(detection);
    },
    async close() {
      isClosed = true;
      await flights.close();
      await scans.close();
    },
    stats,
  };
}

/** What answers are made with. */
function createParts(options: ImageDetectorOptions, { log }: Reporter): ImageDetectorOptions & LookupParts {
  const onError = (error: unknown): void => log.error({ err: error }, 'a look-up failed in an unexpected way');
  return {
    ...options,
    memory: createVerdictMemory({ ...options, bytes: options.bytes ?? 32 * 1024 * 1024 }),
    failures: createFailureMemory({ ...options, entries: Math.ceil(options.entries / 4) }),
    manifests: createManifestMemory(options.tagTtlMs, options.clock),
    shared: createSharedVerdicts(options.store, options.clock, onError),
    onError,
  };
}

function notBegun(signal: AbortSignal): LookupResult {
  const failure = readFailure(signal.reason, signal);
  if (failure.code === 'disabled') return { failure };
  return { failure: { code: 'shed', message: 'not looked up: others took too long before it' } };
}

const longestReference = 1024;

interface AnswerParts extends LookupParts {
  readonly slots: Slots;
  readonly flights: Flights<LookupResult>;
  readonly reporter: Reporter;
  readonly scans: FullScans;
}

interface Answers {
  /**
   * What is declared, remembered or stored, failures too where the logins are at hand; undefined where the answer has to be
   * waited for. Throws where the reference cannot be read.
   */
  recall(request: DetectRequest): Detection | undefined;
  /** Gives what `recall` gives, else begins or joins a look-up. Rejects where the reference cannot be read. */
  find(request: DetectRequest, deadline: AbortSignal): Promise<Detection>;
}

const free: Meter = { requests: 0, bytes: 0 };

function createAnswers(parts: AnswerParts): Answers {
  const { failures, sources } = parts;
  const { logIn, withLogin } = createLogIn();
  const begin = createBeginning(parts);
  const declared = createDeclared(parts);
  const known = createMemory(parts, declared, createRevalidation(parts, logIn, begin));
  const keysOf = createKeyMemory((reference) => canonicalName(sources, reference));
  const taskOf = (request: DetectRequest): LookupTask => ({ keys: keysOf(request), request });
  const failed = ({ keys, login }: LoggedInTask): Detection | undefined => {
    const failure = failures.find(keys, login);
    return failure && failedDetection(failure);
  };
  return {
    recall(request) {
      const task = taskOf(request);
      const { credentials } = request;
      return known(task) ?? (typeof credentials === 'function' ? undefined : failed(withLogin(task, credentials)));
    },
    async find(request, deadline) {
      const task = taskOf(request);
      const found = known(task);
      if (found !== undefined) return found;
      const logging = logIn(task);
      const loggedIn = logging instanceof Promise ? await logging : logging;
      const failure = failed(loggedIn);
      if (failure !== undefined) return failure;
      const flight = begin(loggedIn);
      if (flight === undefined) return failedDetection(shed);
      const result = await flight.wait(deadline);
      return declared(task, detectionOf(result ?? { failure: leftAtDeadline }, flight.meter));
    },
  };
}

/** What is found out about a task's image, unless a person says otherwise of its digest. */
type Declared = (task: LookupTask, detection: Detection) => Detection;

function createDeclared({ shared }: AnswerParts): Declared {
  return ({ keys, request }, detection) => {
    const { digest } = detection;
    const verdict = digest === undefined ? undefined : shared.declared(keys, request.platform, digest);
    return verdict === undefined ? detection : { ...detection, verdict, from: 'store' };
  };
}

/** What needs no registry: what a person says, else what is remembered or stored. A tag that is old is asked about behind it. */
function createMemory(
  parts: AnswerParts,
  orDeclared: Declared,
  revalidate: (task: LookupTask) => void,
): (task: LookupTask) => Detection | undefined {
  const { shared, scans } = parts;
  const fromMemory = (task: LookupTask, { inspection, checkedAt, fresh, from }: Recalled): Detection => {
    const { keys, request } = task;
    if (!fresh && request.ahead !== true) revalidate(task);
    if (request.ahead !== true) scans.follow(task, inspection);
    if (request.dryRun !== true) shared.used(keys, request.platform, { inspection, checkedAt });
    return { ...inspection, from, meter: { ...free } };
  };
  return (task) => {
    const { keys, request } = task;
    const verdict = shared.declared(keys, request.platform);
    if (verdict !== undefined) return { verdict, from: 'store', meter: { ...free } };
    const recalled = recall(parts, keys, request.platform);
    return recalled && orDeclared(task, fromMemory(task, recalled));
  };
}

interface LoggingIn {
  readonly logIn: LogIn;
  readonly withLogin: (task: LookupTask, logins: Logins | undefined) => LoggedInTask;
}

function createLogIn(): LoggingIn {
  const secret = randomBytes(32);
  const withLogin: LoggingIn['withLogin'] = (task, credentials = []) => {
    return { ...task, request: { ...task.request, credentials }, login: loginKey(credentials, secret) };
  };
  const logIn: LogIn = (task) => {
    const { credentials } = task.request;
    if (typeof credentials !== 'function') return withLogin(task, credentials);
    return credentials().then((logins) => withLogin(task, logins));
  };
  return { logIn, withLogin };
}

/** Reads the task's logins; at once where they are there. */
type LogIn = (task: LookupTask) => LoggedInTask | Promise<LoggedInTask>;

type Begin = (task: LoggedInTask) => Flight<LookupResult> | undefined;

/** Begins a look-up or joins the one under way. What it finds is stored if anyone who asked for it was in earnest. */
function createBeginning({ flights, reporter, scans, shared, ...parts }: AnswerParts): Begin {
  const inEarnest = new WeakSet<Flight<LookupResult>>();
  return (task) => {
    const { keys, request, login } = task;
    const flight = flights.join(`${keys.image} ${keys.run} ${login}`, async (context) => {
      const began = performance.now();
      const result = await lookUp({ ...parts, shared }, task, { ...context, credentials: request.credentials });
      const code = 'failure' in result ? result.failure.code : 'none';
      reporter.metrics.lookedUp(code, (performance.now() - began) / 1000, context.meter.bytes);
      if ('inspection' in result) scans.follow(task, result.inspection);
      return result;
    });
    if (flight === undefined || request.dryRun === true || inEarnest.has(flight)) return flight;
    inEarnest.add(flight);
    void keepResult(flight, (found) => shared.keep(keys, request.platform, found));
    return flight;
  };
}

async function keepResult(flight: Flight<LookupResult>, keep: (found: StoredVerdict) => void): Promise<void> {
  const result = await flight.result;
  if ('inspection' in result) keep(result);
}

/** Sees in the background whether a tag has moved. */
function createRevalidation({ slots, failures }: AnswerParts, logIn: LogIn, begin: Begin): (task: LookupTask) => void {
  const revalidating = new Set<string>();
  const run = async (task: LookupTask): Promise<void> => {
    const logging = logIn(task);
    const loggedIn = logging instanceof Promise ? await logging : logging;
    // A tag that is a little older still is a smaller loss than a Pod that has to queue behind its revalidation.
    if (slots.free() === 0 || failures.find(task.keys, loggedIn.login) !== undefined) return;
    const flight = begin(loggedIn);
    flight?.leave();
    await flight?.result;
  };
  return (task) => {
    const { image } = task.keys;
    if (revalidating.has(image) || slots.free() === 0) return;
    revalidating.add(image);
    const forget = (): void => void revalidating.delete(image);
    run(task).then(forget, forget);
  };
}

function canonicalName(sources: AnswerParts['sources'], reference: string): string {
  if (reference.length <= longestReference) return sources.canonical(reference);
  const message = `the image reference is longer than ${longestReference} characters`;
  throw new ImageSourceError('invalid-reference', message);
}

function detectionOf(result: LookupResult, meter: Meter): Detection {
  if ('failure' in result) return failedDetection(result.failure, meter);
  const { inspection } = result;
  return { ...inspection, from: 'registry', meter: { requests: meter.requests, bytes: meter.bytes } };
}

const shed: Failure = { code: 'shed', message: 'not looked up: too many other look-ups wait already' };

interface Recalled extends Remembered {
  readonly from: 'memory' | 'store';
}

type RecallParts = Pick<LookupParts, 'memory' | 'shared' | 'clock'>;

/**
 * What is known without asking a registry. Where our own memory has nothing, or nothing that is fresh and certain, the
 * store may have what another replica has found out since.
 */
function recall({ memory, shared, clock }: RecallParts, keys: DetectionKeys, platform: Platform): Recalled | undefined {
  const known = memory.find(keys);
  if (known?.fresh === true && isSettled(known.inspection)) return { ...known, from: 'memory' };
  const stored = shared.find(keys, platform);
  if (stored !== undefined) {
    const inspection = surer(memory.ofManifest(keys, stored.inspection.digest), stored.inspection);
    // Another replica's clock may be ahead of ours.
    memory.remember(keys, inspection, Math.min(stored.checkedAt, clock.now()));
  }
  const found = stored === undefined ? known : memory.find(keys);
  return found && { ...found, from: known === undefined ? 'store' : 'memory' };
}

function isSettled({ verdict, outdated }: Inspection): boolean {
  return verdict.resolver !== 'unknown' && outdated !== true;
}
