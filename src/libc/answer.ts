import { randomBytes } from 'node:crypto';
import { failedDetection, leftAtDeadline, type Failure } from './detection-failure.ts';
import { loginKey } from './detection-keys.ts';
import type { Detection, DetectRequest, Logins } from './detector.ts';
import { detectionEvent, tell, type DetectorHooks } from './detector-hooks.ts';
import { ImageSourceError, type Meter } from './image-source.ts';
import { lookUp, type LoggedInTask, type LookupParts, type LookupResult, type LookupTask } from './look-up.ts';
import type { FullScans } from './full-scan.ts';
import type { Slots } from './lookup-slots.ts';
import { createKeyMemory } from './key-memory.ts';
import { recall, type Recalled } from './recall.ts';
import type { Flight, Flights } from './single-flight.ts';
import type { StoredVerdict } from './verdict-store.ts';

const longestReference = 1024;

export interface AnswerParts extends LookupParts {
  readonly slots: Slots;
  readonly flights: Flights<LookupResult>;
  readonly hooks: DetectorHooks;
  readonly scans: FullScans;
}

export interface Answers {
  /**
   * What is declared, remembered or stored, failures too where the logins are at hand; undefined where the answer has to be
   * waited for. Throws where the reference cannot be read.
   */
  recall(request: DetectRequest): Detection | undefined;
  /** Gives what `recall` gives, else begins or joins a look-up. Rejects where the reference cannot be read. */
  find(request: DetectRequest, deadline: AbortSignal): Promise<Detection>;
}

const free: Meter = { requests: 0, bytes: 0 };

export function createAnswers(parts: AnswerParts): Answers {
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
function createBeginning({ flights, hooks, scans, shared, ...parts }: AnswerParts): Begin {
  const inEarnest = new WeakSet<Flight<LookupResult>>();
  return (task) => {
    const { keys, request, login } = task;
    const flight = flights.join(`${keys.image} ${keys.run} ${login}`, async (context) => {
      const began = performance.now();
      const result = await lookUp({ ...parts, shared }, task, { ...context, credentials: request.credentials });
      tell(() => hooks.onLookup?.(detectionEvent(detectionOf(result, context.meter), performance.now() - began)));
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
