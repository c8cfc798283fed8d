import { randomBytes } from 'node:crypto';

import type { Clock } from '../util/clock.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import { createFairSlots, type FairSlots } from '../util/limits/fair-slots.ts';
import { createBackgroundScans, type BackgroundScans } from './background-scan.ts';
import { createFailureMemory, createVerdictMemory, type Remembered } from './caches.ts';
import {
  closed,
  type Detection,
  type Detector,
  type DetectRequest,
  failedDetection,
  type Failure,
  type Inspection,
  leftAtDeadline,
  type Logins,
  readFailure,
} from './detector.ts';
import { createDoubt, type Doubt } from './doubt.ts';
import { createFlights, type Flight, type Flights } from './flights.ts';
import { ImageSourceError, type Meter, type Platform } from './image-source.ts';
import { createKeyMemory, type DetectionKeys, loginKey } from './keys.ts';
import {
  type LoggedInTask,
  scanAgain,
  lookUp,
  type LookupParts,
  type LookupResult,
  type LookupTask,
  surer,
  withLogins,
} from './look-up.ts';
import { createLookUpTraces } from './look-up-trace.ts';
import { createQuarantine } from './reader/quarantine.ts';
import type { ImageReader } from './reader/image-reader.ts';
import { tracedReader } from './reader/traced-reader.ts';
import { createGuardedStore, type StoredVerdict, type VerdictStore } from './verdict-store.ts';

export interface ImageDetectorOptions {
  /** Reads again in the background, if it can read more, where it was uncertain. Its creator closes it. */
  readonly reader: ImageReader;
  /** Asked before the registry; its creator closes it. Absent: each replica looks every image up itself. */
  readonly store?: VerdictStore;
  /** Most verdicts that are remembered. */
  readonly entries: number;
  /** Most bytes that they may take, approximately. Default 32 MiB. */
  readonly bytes?: number;
  /** Milliseconds for which a tag is assumed to stand for the same image. */
  readonly tagTtlMs: number;
  /** Milliseconds for which a failure is not tried again. */
  readonly failureTtlMs: number;
  /** Milliseconds since 1970. */
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds for which a look-up may go on after the first deadline that it missed. Default 30,000. */
  readonly backgroundMs?: number;
  /** Most look-ups under way at once; a namespace alone gets three quarters. Default 32. */
  readonly concurrency?: number;
  /** Most look-ups that wait for others to end; further ones are not started (`shed`). Default 256. */
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
  peek(request: DetectRequest): Detection | undefined;
  /** Aborts all look-ups and waits until they have ended; from then on every image is unknown (`disabled`). */
  close(): Promise<void>;
  stats(): DetectorStats;
}

/**
 * Finds the resolver in an image: from memory, else from the shared store, else from the registry. Runs one look-up at a
 * time for an image, command line and set of logins; it may outlive the requests that wait for it. A tag older than its
 * TTL is answered from memory while a look-up in the background checks whether it has moved.
 */
export function createImageDetector(options: ImageDetectorOptions): ImageDetector {
  const { reporter = silentReporter, backgroundMs = 30_000, concurrency = 32, queue = 256 } = options;
  const { tracer } = reporter;
  const traced = tracer === undefined ? options : { ...options, reader: tracedReader(options.reader, tracer) };
  const parts = createParts(traced, reporter);
  const { memory, failures, onError } = parts;
  const half = Math.ceil(concurrency / 2);
  const slots = createFairSlots({ places: concurrency, doubtful: half, queue, first: 'newest' });
  const flights = createFlights<LookupResult>({ slots, backgroundMs, slow: half, notBegun });
  const scans = createBackgroundScans({
    timeMs: 2 * backgroundMs,
    retryMs: options.failureTtlMs,
    clock: options.clock,
    scan: async (task, known, context) => await scanAgain(parts, task, known, await withLogins(task.request, context)),
  });
  const finder = createFinder({ ...parts, reporter, slots, flights, scans, doubt: createDoubt() });
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
    peek(request) {
      try {
        const detection = isClosed ? failedDetection(closed) : finder.peek(request);
        return detection && counted(detection);
      } catch {
        // `detect` will report the error.
        return undefined;
      }
    },
    async detect(request, deadline) {
      const finding = isClosed ? Promise.resolve(failedDetection(closed)) : finder.find(request, deadline);
      const detection = await finding.catch((error: unknown) => {
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

function createParts(options: ImageDetectorOptions, reporter: Reporter): ImageDetectorOptions & LookupParts {
  const { store, clock } = options;
  const onError = (error: unknown): void => reporter.log.error({ err: error }, 'a look-up failed in an unexpected way');
  const guardedStore = createGuardedStore(store, clock, onError);
  return {
    ...options,
    memory: createVerdictMemory({ ...options, bytes: options.bytes ?? 32 * 1024 * 1024 }),
    failures: createFailureMemory({ ...options, entries: Math.ceil(options.entries / 4) }),
    quarantine: createQuarantine({ guardedStore, clock, reporter }),
    guardedStore,
    onError,
  };
}

function notBegun(signal: AbortSignal): LookupResult {
  const failure = readFailure(signal.reason, signal);
  if (failure.code === 'disabled') return { failure };
  return { failure: { code: 'shed', message: 'not looked up: others took too long before it' } };
}

const longestReference = 1024;

interface FinderParts extends LookupParts {
  readonly slots: FairSlots;
  readonly flights: Flights<LookupResult>;
  readonly reporter: Reporter;
  readonly scans: BackgroundScans;
  readonly doubt: Doubt;
}

interface Finder {
  /**
   * Returns what is declared, remembered or stored, and remembered failures if the logins need not be read first; undefined
   * if the answer has to be waited for. Throws `ImageSourceError` if the reference is invalid.
   */
  peek(request: DetectRequest): Detection | undefined;
  /** Returns what `peek` returns, else starts or joins a look-up. Rejects with `ImageSourceError` if the reference is invalid. */
  find(request: DetectRequest, deadline: AbortSignal): Promise<Detection>;
}

const free: Meter = { requests: 0, bytes: 0 };

function createFinder(parts: FinderParts): Finder {
  const { failures, reader, scans } = parts;
  const { logIn, withLogin } = createLogIn();
  const begin = createBegin(parts);
  const orDeclared = createOrDeclared(parts);
  const known = createKnown(parts, orDeclared, createRevalidate(parts, logIn, begin));
  const keysOf = createKeyMemory((reference) => canonicalName(reader, reference));
  const taskOf = (request: DetectRequest): LookupTask => ({ keys: keysOf(request), request });
  const failed = ({ keys, login }: LoggedInTask): Detection | undefined => {
    const failure = failures.find(keys, login);
    return failure && failedDetection(failure);
  };
  // An image whose first look was not sure is scanned at once: the answer waits for that while there is time.
  const scanned = async (
    task: LookupTask,
    result: LookupResult,
    first: Detection,
    deadline: AbortSignal,
  ): Promise<Detection> => {
    if ('failure' in result || task.request.ahead === true) return first;
    const cost = await scans.wait(task, result.inspection, deadline);
    if (cost === undefined) return first;
    const { inspection } = findKnown(parts, task.keys, task.request.platform) ?? result;
    const { requests, bytes } = first.meter;
    return { ...first, ...inspection, meter: { requests: requests + cost.requests, bytes: bytes + cost.bytes } };
  };
  return {
    peek(request) {
      const task = taskOf(request);
      const { credentials } = request;
      return known(task) ?? (typeof credentials === 'function' ? undefined : failed(withLogin(task, credentials)));
    },
    async find(request, deadline) {
      const task = taskOf(request);
      const found = known(task);
      if (found !== undefined) return found;
      const logging = logIn(task);
      // While Secrets are read, the process can start.
      if (logging instanceof Promise) reader.wake();
      const loggedIn = logging instanceof Promise ? await logging : logging;
      const failure = failed(loggedIn);
      if (failure !== undefined) return failure;
      const flight = begin(loggedIn);
      if (flight === undefined) return failedDetection(shed);
      const result = await flight.wait(deadline);
      const first = detectionOf(result ?? { failure: leftAtDeadline }, flight.meter);
      return orDeclared(task, result === undefined ? first : await scanned(task, result, first, deadline));
    },
  };
}

/** Replaces a detection by the verdict that a person declared for its digest, if there is one. */
type OrDeclared = (task: LookupTask, detection: Detection) => Detection;

function createOrDeclared({ guardedStore }: FinderParts): OrDeclared {
  return ({ keys, request }, detection) => {
    const { digest } = detection;
    const verdict = digest === undefined ? undefined : guardedStore.declared(keys, request.platform, digest);
    return verdict === undefined ? detection : { ...detection, verdict, from: 'store' };
  };
}

/** Answers without a registry: a declared verdict, else one remembered or stored. A stale tag is revalidated in the background. */
function createKnown(
  parts: FinderParts,
  orDeclared: OrDeclared,
  revalidate: (task: LookupTask) => void,
): (task: LookupTask) => Detection | undefined {
  const { guardedStore, scans, doubt } = parts;
  const detectionFrom = (task: LookupTask, { inspection, checkedAt, named, fresh, from }: Known): Detection => {
    const { keys, request } = task;
    if (!fresh && request.ahead !== true) revalidate(task);
    if (from === 'store') doubt.vouch(hostOf(keys));
    if (request.ahead !== true) scans.scanIfUncertain(task, inspection);
    if (request.dryRun !== true) guardedStore.used(keys, request.platform, { inspection, checkedAt, named });
    return { ...inspection, from, meter: { ...free } };
  };
  return (task) => {
    const { keys, request } = task;
    const verdict = guardedStore.declared(keys, request.platform);
    if (verdict !== undefined) return { verdict, from: 'store', meter: { ...free } };
    const found = findKnown(parts, keys, request.platform);
    return found && orDeclared(task, detectionFrom(task, found));
  };
}

interface LoginFunctions {
  /** Reads the task's logins; at once if no function has to be called for them. */
  readonly logIn: LogIn;
  readonly withLogin: (task: LookupTask, logins: Logins | undefined) => LoggedInTask;
}

type LogIn = (task: LookupTask) => LoggedInTask | Promise<LoggedInTask>;

function createLogIn(): LoginFunctions {
  const secret = randomBytes(32);
  const withLogin: LoginFunctions['withLogin'] = (task, credentials = []) => {
    return { ...task, request: { ...task.request, credentials }, login: loginKey(credentials, secret) };
  };
  const logIn: LogIn = (task) => {
    const { credentials } = task.request;
    if (typeof credentials !== 'function') return withLogin(task, credentials);
    return credentials().then((logins) => withLogin(task, logins));
  };
  return { logIn, withLogin };
}

/** Starts a look-up or joins the one under way; undefined if there are too many. */
type Begin = (task: LoggedInTask) => Flight<LookupResult> | undefined;

/** The result is stored if at least one of the requests that wait for it is not a dry run. */
function createBegin({ flights, reporter, scans, guardedStore, doubt, ...parts }: FinderParts): Begin {
  const stored = new WeakSet<Flight<LookupResult>>();
  const traces = createLookUpTraces(reporter.tracer);
  return (task) => {
    const { keys, request, login } = task;
    const { tenant } = request;
    const party = { host: hostOf(keys), tenant };
    const trace = traces(task);
    const flight = flights.join(
      `${keys.image} ${keys.run} ${login}`,
      async (context) => {
        const began = performance.now();
        const span = trace?.begin();
        const result = await lookUp({ ...parts, guardedStore }, task, await withLogins({ ...request, span }, context));
        const code = 'failure' in result ? result.failure.code : 'none';
        const ms = performance.now() - began;
        doubt.ended(party, code, ms);
        reporter.metrics.lookedUp(code, ms / 1000, context.meter.bytes);
        if ('inspection' in result) scans.scanIfUncertain(task, result.inspection);
        return result;
      },
      { ...(tenant !== undefined && { tenant }), isDoubtful: () => doubt.of(party) },
    );
    if (flight !== undefined) trace?.joined(flight);
    if (flight === undefined || request.dryRun === true || stored.has(flight)) return flight;
    stored.add(flight);
    void keepResult(flight, (found) => guardedStore.keep(keys, request.platform, found));
    return flight;
  };
}

async function keepResult(flight: Flight<LookupResult>, keep: (found: StoredVerdict) => void): Promise<void> {
  const result = await flight.result;
  if ('inspection' in result) keep(result);
}

/** Checks in the background whether a tag has moved. */
function createRevalidate({ slots, failures }: FinderParts, logIn: LogIn, begin: Begin): (task: LookupTask) => void {
  const revalidating = new Set<string>();
  const run = async (task: LookupTask): Promise<void> => {
    const logging = logIn(task);
    const loggedIn = logging instanceof Promise ? await logging : logging;
    // Better to serve a stale tag a little longer than to make a Pod queue behind its revalidation.
    if (!slots.hasRoom(task.request.tenant) || failures.find(task.keys, loggedIn.login) !== undefined) return;
    const flight = begin(loggedIn);
    flight?.leave();
    await flight?.result;
  };
  return (task) => {
    const { image } = task.keys;
    if (revalidating.has(image) || !slots.hasRoom(task.request.tenant)) return;
    revalidating.add(image);
    const forget = (): void => void revalidating.delete(image);
    run(task).then(forget, forget);
  };
}

/** Returns the registry's host and port. */
const hostOf = ({ repository }: DetectionKeys): string => repository.slice(0, Math.max(0, repository.indexOf('/')));

function canonicalName(reader: ImageReader, reference: string): string {
  if (reference.length <= longestReference) return reader.canonical(reference);
  const message = `the image reference is longer than ${longestReference} characters`;
  throw new ImageSourceError('invalid-reference', message);
}

function detectionOf(result: LookupResult, meter: Meter): Detection {
  if ('failure' in result) return failedDetection(result.failure, meter);
  const { inspection } = result;
  return { ...inspection, from: 'registry', meter: { requests: meter.requests, bytes: meter.bytes } };
}

const shed: Failure = { code: 'shed', message: 'not looked up: too many other look-ups wait already' };

interface Known extends Remembered {
  readonly from: 'memory' | 'store';
}

type KnownParts = Pick<LookupParts, 'memory' | 'guardedStore' | 'clock'>;

/**
 * Returns what is known without asking a registry. If our own memory has no fresh and certain verdict, the store may have
 * one that another replica has found since.
 */
function findKnown(
  { memory, guardedStore, clock }: KnownParts,
  keys: DetectionKeys,
  platform: Platform,
): Known | undefined {
  const known = memory.find(keys);
  if (known?.fresh === true && isSettled(known.inspection)) return { ...known, from: 'memory' };
  const stored = guardedStore.find(keys, platform);
  if (stored !== undefined) {
    const inspection = surer(memory.ofManifest(keys, stored.inspection.digest), stored.inspection);
    // Another replica's clock may be ahead of ours.
    memory.remember(keys, inspection, Math.min(stored.checkedAt, clock.now()), stored.named);
  }
  const found = stored === undefined ? known : memory.find(keys);
  return found && { ...found, from: known === undefined ? 'store' : 'memory' };
}

function isSettled({ verdict, outdated }: Inspection): boolean {
  return verdict.resolver !== 'unknown' && outdated !== true;
}
