import { candidatesOf } from '../policy/verdict.ts';
import type { Clock } from '../util/clock.ts';
import type { FailureMemory, VerdictMemory } from './caches.ts';
import { type DetectRequest, type Failure, type Inspection, isPassing, type Logins, readFailure } from './detector.ts';
import type { LookupContext, SeenTag } from './image-source.ts';
import type { DetectionKeys } from './keys.ts';
import type { Clearance, Quarantine } from './reader/quarantine.ts';
import {
  type AfterManifest,
  type ImageReader,
  ReaderEnded,
  ReaderUnavailable,
  type ReadOptions,
  type ReadRequest,
  ReadStopped,
} from './reader/image-reader.ts';
import type { GuardedStore, StoredVerdict } from './verdict-store.ts';

export interface LookupParts {
  readonly reader: ImageReader;
  readonly guardedStore: GuardedStore;
  readonly memory: VerdictMemory;
  readonly failures: FailureMemory;
  readonly quarantine: Quarantine;
  readonly clock: Pick<Clock, 'now'>;
  /** Called with an error that is not an `ImageSourceError`: a defect of our own. */
  readonly onError: (error: unknown) => void;
}

export interface LookupTask {
  readonly keys: DetectionKeys;
  readonly request: DetectRequest;
}

/** A task whose logins have been read; `login` is their key. */
export interface LoggedInTask extends LookupTask {
  readonly request: DetectRequest & { readonly credentials: Logins };
  readonly login: string;
}

/** Returns the context with the request's tenant, its span and its logins, which are read now if they have not been yet. */
export async function withLogins(
  { credentials, tenant, span }: DetectRequest,
  context: LookupContext,
): Promise<LookupContext> {
  const logins = typeof credentials === 'function' ? await credentials() : credentials;
  const known = { ...(tenant !== undefined && { tenant }), ...(logins !== undefined && { credentials: logins }) };
  return { ...context, ...known, ...(span !== undefined && { span }) };
}

export type LookupResult = StoredVerdict | { readonly failure: Failure };

/**
 * Asks the registry and remembers the result. Reads only the manifest if its digest is known already: the tag has not
 * moved, or stands for the same image as another. Never rejects.
 */
export async function lookUp(parts: LookupParts, task: LoggedInTask, context: LookupContext): Promise<LookupResult> {
  const { keys, login } = task;
  const progress: Progress = {};
  try {
    const inspection = await readImage(parts, task, progress, { context });
    const checkedAt = progress.seenAt ?? parts.clock.now();
    parts.memory.remember(keys, inspection, checkedAt, progress.named);
    return { inspection, checkedAt, named: progress.named };
  } catch (error) {
    // It says nothing about the image, and its start has been logged.
    if (error instanceof ReaderUnavailable) return { failure: { code: 'internal', message: error.message } };
    const failure = failureOf(error, context);
    if (failure.code === 'internal') parts.onError(error);
    const scope = { keys, login, ...(progress.seenAt !== undefined && { run: keys.run }) };
    parts.failures.remember(scope, failure);
    return { failure };
  }
}

/** How far the reading of an image has come. */
interface Progress {
  /** Digest of its manifest; absent until it has arrived. */
  digest?: string;
  /** When the reference was seen to stand for that digest. */
  seenAt?: number;
  /** Digest of what the reference names. */
  named?: string | undefined;
  /** What is known about that manifest already. */
  known?: Inspection | undefined;
}

/** The image has ended a reader process, and it is too early to read it again. */
class Quarantined extends Error {
  override readonly name = 'Quarantined';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

function failureOf(error: unknown, { signal }: LookupContext): Failure {
  return error instanceof Quarantined ? error.failure : readFailure(error, signal);
}

/** Leaves out what only main knows what to do with. */
const readRequest = (
  { credentials: _logins, dryRun: _dryRun, ahead: _ahead, span: _span, ...rest }: DetectRequest,
  seen: SeenTag | undefined,
): ReadRequest => ({ ...rest, ...(seen && { seen }) });

interface Reading {
  readonly context: LookupContext;
  /** Reads the image even if its verdict is known. */
  readonly afresh?: boolean;
  readonly more?: boolean;
  /** Once the digest is known: what quarantine says about it. */
  readonly clearance?: Clearance;
}

/**
 * Reads an image unless it is in quarantine, and puts it there if it ends the reader process. Returns what is known if its
 * manifest's verdict is. Rejects with what the reader rejects with, or with `Quarantined`.
 */
async function readImage(
  parts: LookupParts,
  { keys, request }: LookupTask,
  progress: Progress,
  reading: Reading,
): Promise<Inspection> {
  const { reader, quarantine, memory } = parts;
  const { platform } = request;
  const { context, afresh = false, more = false } = reading;
  const before = reading.clearance ?? quarantine.check({ keys, platform, more });
  if (before.refused !== undefined) throw new Quarantined(before.refused);
  const isAlone = more || before.alone;
  let after = before;
  const onManifest: ReadOptions['onManifest'] = (digest, seenAt, named): AfterManifest => {
    Object.assign(progress, { digest, seenAt, named });
    if (!afresh) progress.known = memory.ofManifest(keys, digest);
    if (progress.known !== undefined) return 'stop';
    after = quarantine.check({ keys, platform, digest, more });
    return after.refused !== undefined || (after.alone && !isAlone) ? 'stop' : 'continue';
  };
  try {
    const how = { more, alone: isAlone, again: () => after.again, onManifest };
    const seen = afresh ? undefined : memory.seenTag(keys);
    const inspection = await reader.read(readRequest(request, seen), context, how);
    if (isAlone) quarantine.release({ keys, platform, digest: progress.digest, more });
    return inspection;
  } catch (error) {
    if (progress.known !== undefined) return progress.known;
    if (error instanceof ReaderEnded) {
      throw new Quarantined(quarantine.add({ keys, platform, digest: progress.digest, more }, error.end));
    }
    if (!(error instanceof ReadStopped)) throw error;
    if (after.refused !== undefined) throw new Quarantined(after.refused);
    return await readImage(parts, { keys, request }, progress, { ...reading, clearance: after });
  }
}

/** How a scan ended. `failed`: for a passing reason. */
export type ScanOutcome = 'done' | 'failed';

/**
 * Inspects a known image again: with the usual limits if older rules made the verdict, else with wider ones. Remembers and
 * stores the result if it is more certain or made by newer rules. Never rejects.
 */
export async function scanAgain(
  parts: LookupParts,
  task: LookupTask,
  known: Inspection,
  context: LookupContext,
): Promise<ScanOutcome> {
  const { memory, reader, clock, guardedStore, onError } = parts;
  const more = known.outdated !== true;
  if (more && !reader.readsMore) return 'done';
  const { keys, request } = task;
  const stored = known.outdated === true ? guardedStore.find(keys, request.platform) : undefined;
  // Another replica has scanned it already.
  if (stored !== undefined && stored.inspection.outdated !== true) return 'done';
  const progress: Progress = {};
  try {
    const inspection = await readImage(parts, task, progress, { context, afresh: true, more });
    const best = surer(memory.ofManifest(keys, inspection.digest), inspection);
    if (best !== inspection) return 'done';
    const checkedAt = progress.seenAt ?? clock.now();
    memory.remember(keys, inspection, checkedAt, progress.named);
    if (request.dryRun !== true)
      guardedStore.keep(keys, request.platform, { inspection, checkedAt, named: progress.named });
    return 'done';
  } catch (error) {
    if (error instanceof ReaderUnavailable) return 'failed';
    const { code } = failureOf(error, context);
    if (code === 'internal') onError(error);
    return context.signal.aborted ? 'failed' : outcomeAfter(code);
  }
}

const outcomeAfter = (code: Failure['code']): ScanOutcome => (code === 'shed' || isPassing(code) ? 'failed' : 'done');

/** Returns the better of two inspections of one image: newer rules first, then confidence, then what knows more programs. */
export function surer(a: Inspection | undefined, b: Inspection): Inspection {
  if (a === undefined) return b;
  if (a.outdated !== b.outdated) return a.outdated === true ? b : a;
  const [before, now] = [a.verdict.evidence.confidence, b.verdict.evidence.confidence];
  return now > before || (now === before && knownIn(b) > knownIn(a)) ? b : a;
}

const knownIn = ({ verdict }: Inspection): number =>
  candidatesOf(verdict).filter(({ resolver }) => resolver !== 'unknown').length;
