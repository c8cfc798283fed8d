import { type ChildProcess, fork, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Clock } from '../../util/clock.ts';
import { printable } from '../../util/text.ts';
import { type Inspection, lookupAbort } from '../detector.ts';
import type { LookupContext } from '../image-source.ts';
import { type ReaderEnd, ReaderUnavailable, type ReadOptions, type ReadRequest } from './image-reader.ts';
import { type FromReader, requestsIn, type ToReader, unwrap } from './protocol.ts';
import { createWatch, lookRegularly, vitalSignsOf, type Watch } from './vital-signs.ts';

/** The program that a reader process runs, and how. */
export interface ReaderProgram {
  /** Path of the module, which calls `serveReads`; or of this executable, which does so if {@link READER_ARGUMENT} is given. */
  readonly path: string;
  /** Node's own flags. */
  readonly flags: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Describes the reader to open; sent as JSON. */
  readonly setUp: unknown;
  /** Most bytes of resident memory that belong to no file. */
  readonly memoryBytes: number;
}

/** Has a single executable read images instead of running a command. */
export const READER_ARGUMENT = '--read-images';

interface ReaderProcessOptions {
  readonly program: ReaderProgram;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Receives what the program's features tell. */
  readonly onEvent: (event: unknown) => void;
}

/** How a process ended that was wanted. */
interface ReaderDeath {
  readonly end: ReaderEnd;
  /** Reads under way. */
  readonly reads: number;
  /** The end of what it wrote to standard error, in one line. */
  readonly said: string;
}

/** A read failed because its process ended. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone';
  readonly end: ReaderEnd;
  /** Whether this read ended the process; undefined: it may have. */
  readonly guilty: boolean | undefined;

  constructor(end: ReaderEnd, guilty: boolean | undefined) {
    super(`the reader process ended (${end})`);
    this.end = end;
    this.guilty = guilty;
  }
}

/** A process that reads images. */
export interface ReaderProcess {
  /** Rejects like `ImageReader`, but with `ReaderGone` if the process ends. */
  read(request: ReadRequest, context: LookupContext, options: ReadOptions): Promise<Inspection>;
  /** Resolves when the process has ended; undefined if it was told to. Never rejects. */
  readonly ended: Promise<ReaderDeath | undefined>;
  residentBytes(): number;
  /** Ends it; reads under way reject. */
  close(): Promise<void>;
}

/** Milliseconds until a process that does not say that it is ready counts as failed. Long: a new replica starts on a busy machine. */
const START_MS = 20_000;

/** Milliseconds that a read may go on after it was told to stop. */
const ABORT_MS = 5000;

/** Milliseconds that a process may take to end by itself. */
const CLOSE_MS = 1000;

/** Milliseconds to read what a process has written that is gone. */
const READ_OUT_MS = 500;

/** Characters of standard error that are kept: V8 says at its end why it gave up. */
const MOST_SAID = 4000;

/** Starts a process. Rejects with `ReaderUnavailable` if it cannot be started or set up. */
export async function startReader({ program, clock, onEvent }: ReaderProcessOptions): Promise<ReaderProcess> {
  const child = forkProgram(program);
  const said = listenTo(child);
  const send = (message: ToReader): void => void (child.connected && child.send(message, ignoreError));
  const reads = createReads(send, clock);
  const vitals = vitalSignsOf(child.pid ?? 0);
  const { memoryBytes, setUp } = program;
  const watch = createWatch({ vitals, memoryBytes, clock, ping: () => send({ type: 'ping' }) });
  let isWanted = true;
  let fault: { readonly end: ReaderEnd; readonly culprit?: Read } | undefined;
  const look = (pauseMs: number): void => {
    const end = watch.look(pauseMs);
    const culprit = watch.answered() ? reads.stuck() : undefined;
    if (end !== undefined) fault ??= { end };
    else if (culprit !== undefined) fault ??= { end: 'stuck', culprit };
    if (fault !== undefined) child.kill('SIGKILL');
  };
  const looks = lookRegularly(look, () => reads.size() > 0, clock);
  const starting = Promise.withResolvers<void>();
  child.on('message', (message: FromReader) => {
    receive(message, { reads, send, watch, starting, onEvent, setUp });
  });
  const die = async (): Promise<ReaderDeath | undefined> => {
    const how = `${await untilGone(child)}: ${said()}`;
    looks.stop();
    const { end, culprit }: NonNullable<typeof fault> = fault ?? { end: isOutOfMemory(how) ? 'memory' : 'exit' };
    const death = { end, reads: reads.size(), said: how };
    starting.reject(new ReaderUnavailable(`the reader process did not start (${printable(how, 300)})`));
    reads.rejectAll((read) => {
      if (!isWanted) return lookupAbort.closing();
      return new ReaderGone(end, culprit === undefined ? undefined : read === culprit);
    });
    return isWanted ? death : undefined;
  };
  const ended = die();
  const close = async (): Promise<void> => {
    isWanted = false;
    if (child.connected) child.disconnect();
    const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
    await ended;
    clearTimeout(timer);
  };
  await untilReady(starting.promise, close);
  return {
    ended,
    residentBytes: () => vitals.memory() ?? 0,
    close,
    read(request, context, options) {
      looks.hurry();
      return reads.add(request, context, options);
    },
  };
}

interface Read {
  readonly context: LookupContext;
  readonly options: ReadOptions;
  readonly resolve: (inspection: Inspection) => void;
  readonly reject: (reason: unknown) => void;
  /** When it was told to stop. */
  abortedAt?: number;
}

/** The reads that a process was asked for. */
interface Reads {
  add(request: ReadRequest, context: LookupContext, options: ReadOptions): Promise<Inspection>;
  get(id: number): Read | undefined;
  /** Removes a read that has ended. */
  take(id: number): Read | undefined;
  size(): number;
  /** Returns a read that was told to stop and goes on. */
  stuck(): Read | undefined;
  rejectAll(reason: (read: Read) => Error): void;
}

function createReads(send: (message: ToReader) => void, clock: Pick<Clock, 'monotonic'>): Reads {
  const all = new Map<number, Read>();
  let lastId = 0;
  return {
    async add(request, context, options) {
      const { signal, credentials, onRequest } = context;
      lastId += 1;
      const id = lastId;
      const { promise, resolve, reject } = Promise.withResolvers<Inspection>();
      const read: Read = { context, options, resolve, reject };
      all.set(id, read);
      const abort = (): void => {
        read.abortedAt = clock.monotonic();
        send({ type: 'abort', id });
      };
      const { more = false } = options;
      const traced = onRequest !== undefined && { traced: true as const };
      send({ type: 'read', id, request, more, ...(credentials !== undefined && { credentials }), ...traced });
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
      return await promise.finally(() => signal.removeEventListener('abort', abort));
    },
    get: (id) => all.get(id),
    take(id) {
      const read = all.get(id);
      all.delete(id);
      return read;
    },
    size: () => all.size,
    stuck() {
      const now = clock.monotonic();
      return all.values().find(({ abortedAt }) => abortedAt !== undefined && now - abortedAt >= ABORT_MS);
    },
    rejectAll(reason) {
      for (const read of all.values()) read.reject(reason(read));
      all.clear();
    },
  };
}

const ignoreError = (): void => {};

function forkProgram({ path, flags, environment }: ReaderProgram): ChildProcess {
  const stdio: StdioOptions = ['ignore', 'ignore', 'pipe', 'ipc'];
  // A single executable takes Node's flags from NODE_OPTIONS alone.
  const options = [environment['NODE_OPTIONS'], ...flags].filter(Boolean).join(' ');
  const child =
    path === process.execPath
      ? spawn(path, [READER_ARGUMENT], { env: { ...environment, NODE_OPTIONS: options }, stdio })
      : fork(path, { execArgv: [...flags], env: environment, stdio });
  // It fails where the process could not be started, which 'exit' and 'error' tell.
  child.on('error', ignoreError);
  // A server with nothing left to do must end.
  child.unref();
  child.channel?.unref();
  if (child.pid !== undefined) preferAtOutOfMemory(child.pid);
  return child;
}

/** If the container's memory runs out after all, the kernel should end the reader, not the server (proc_pid_oom_score_adj(5)). */
function preferAtOutOfMemory(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '1000');
  } catch {
    // Not on this system.
  }
}

/** Returns a function that gives the end of what the process has written to standard error. */
function listenTo({ stderr }: ChildProcess): () => string {
  let text = '';
  stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-MOST_SAID);
  });
  (stderr as { unref?: () => void } | null)?.unref?.();
  return () => text;
}

const isOutOfMemory = (said: string): boolean =>
  said.includes('heap out of memory') || said.includes('JavaScript heap');

/** Resolves to how the process ended, when all that it wrote has been read. */
async function untilGone(child: ChildProcess): Promise<string> {
  const how = await new Promise<string>((resolve) => {
    child.once('error', (error) => child.pid === undefined && resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  // Not the event 'close', which does not come after disconnect().
  if (child.stderr?.closed === false)
    await Promise.race([once(child.stderr, 'close'), sleep(READ_OUT_MS, undefined, { ref: false })]);
  return how;
}

async function untilReady(starting: Promise<void>, close: () => Promise<void>): Promise<void> {
  const late = new ReaderUnavailable(`the reader process was not ready after ${START_MS / 1000} s`);
  const { promise: lateness, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late), START_MS).unref();
  try {
    await Promise.race([starting, lateness]);
  } catch (error) {
    await close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

interface Receiver {
  readonly reads: Reads;
  readonly send: (message: ToReader) => void;
  readonly watch: Watch;
  readonly starting: PromiseWithResolvers<void>;
  readonly onEvent: (event: unknown) => void;
  readonly setUp: unknown;
}

function receive(message: FromReader, { reads, send, watch, starting, onEvent, setUp }: Receiver): void {
  switch (message.type) {
    case 'hello':
      send({ type: 'set-up', setUp });
      break;
    case 'ready':
      starting.resolve();
      break;
    case 'refused':
      starting.reject(
        new ReaderUnavailable(`the reader process could not be set up: ${printable(message.message, 400)}`),
      );
      break;
    case 'pong':
      watch.pong();
      break;
    case 'event':
      onEvent(message.event);
      break;
    case 'manifest': {
      const { id, digest, seenAt, named } = message;
      const answer = reads.get(id)?.options.onManifest?.(digest, seenAt, named) ?? 'continue';
      send({ type: 'after-manifest', id, answer });
      break;
    }
    case 'done': {
      const read = reads.take(message.id);
      if (read !== undefined) settle(read, message);
      break;
    }
    default:
      message satisfies never;
  }
}

function settle(read: Read, { meter, outcome, requests }: Extract<FromReader, { type: 'done' }>): void {
  read.context.meter.requests += meter.requests;
  read.context.meter.bytes += meter.bytes;
  for (const one of requestsIn(requests)) read.context.onRequest?.(one);
  try {
    read.resolve(unwrap(outcome, read.context.signal));
  } catch (error) {
    read.reject(error);
  }
}
