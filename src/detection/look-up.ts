import type { Clock } from '../util/clock.ts';
import type { FailureMemory, ManifestMemory, VerdictMemory } from './caches.ts';
import {
  type DetectRequest,
  type Failure,
  type Inspect,
  type Inspection,
  isPassing,
  type Logins,
  readFailure,
} from './detector.ts';
import type { ImageSource, ImageSources, LookupContext } from './image-source.ts';
import type { DetectionKeys } from './keys.ts';
import type { GuardedStore } from './verdict-store.ts';

export interface LookupParts {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  /** With wider limits, for scans in the background. Absent: an uncertain verdict stays as it is. */
  readonly inspectInBackground?: Inspect;
  readonly guardedStore: GuardedStore;
  readonly memory: VerdictMemory;
  readonly failures: FailureMemory;
  readonly manifests: ManifestMemory;
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

/** Returns the context with the request's tenant and its logins, which are read now if they have not been yet. */
export async function withLogins(
  { credentials, tenant }: DetectRequest,
  context: LookupContext,
): Promise<LookupContext> {
  const logins = typeof credentials === 'function' ? await credentials() : credentials;
  return { ...context, ...(tenant !== undefined && { tenant }), ...(logins !== undefined && { credentials: logins }) };
}

export type LookupResult =
  | { readonly inspection: Inspection; readonly checkedAt: number }
  | { readonly failure: Failure };

/**
 * Asks the registry and remembers the result. Reads only the manifest if its digest is known already: the tag has not
 * moved, or stands for the same image as another. Never rejects.
 */
export async function lookUp(parts: LookupParts, task: LoggedInTask, context: LookupContext): Promise<LookupResult> {
  const { keys, login, request } = task;
  const progress: Progress = {};
  try {
    const source = watchManifest(parts.sources.open(request.reference), parts, task, progress);
    const inspection = await parts.inspect(source, request, context).catch((error: unknown) => {
      if (progress.known === undefined) throw error;
      return progress.known;
    });
    const checkedAt = progress.checkedAt ?? parts.clock.now();
    parts.memory.remember(keys, inspection, checkedAt);
    return { inspection, checkedAt };
  } catch (error) {
    const failure = readFailure(error, context.signal);
    if (failure.code === 'internal') parts.onError(error);
    const scope = { keys, login, ...(progress.checkedAt !== undefined && { run: keys.run }) };
    parts.failures.remember(scope, failure);
    // The tag may have moved, and the layers of the old manifest may be gone.
    parts.manifests.forget(keys);
    return { failure };
  }
}

/** How far an inspection has come. */
interface Progress {
  /** When the manifest was requested; absent until it has arrived. */
  checkedAt?: number;
  /** What is known about that manifest already. */
  known?: Inspection;
}

/**
 * Wraps a source: uses a manifest that was fetched recently, and ends the inspection by throwing if the manifest's verdict
 * is known.
 */
function watchManifest(
  source: ImageSource,
  { memory, manifests, clock }: LookupParts,
  { keys }: LookupTask,
  progress: Progress,
): ImageSource {
  return {
    async manifest(platform, context) {
      const now = clock.now();
      const seen = manifests.find(keys);
      const { manifest, checkedAt } = seen ?? { manifest: await source.manifest(platform, context), checkedAt: now };
      if (seen === undefined) manifests.remember(keys, { manifest, checkedAt });
      progress.checkedAt = checkedAt;
      const known = memory.ofManifest(keys, manifest.digest);
      if (known === undefined) return manifest;
      progress.known = known;
      throw new Error('the manifest is known: there is nothing to inspect');
    },
    config: async (manifest, context) => await source.config(manifest, context),
    read: (blob, offset, length, context) => source.read(blob, offset, length, context),
  };
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
  const { memory, sources, clock, guardedStore, onError } = parts;
  const inspectAgain = known.outdated === true ? parts.inspect : parts.inspectInBackground;
  if (inspectAgain === undefined) return 'done';
  const { keys, request } = task;
  const stored = known.outdated === true ? guardedStore.find(keys, request.platform) : undefined;
  // Another replica has scanned it already.
  if (stored !== undefined && stored.inspection.outdated !== true) return 'done';
  const checkedAt = clock.now();
  try {
    const inspection = await inspectAgain(sources.open(request.reference), request, context);
    const best = surer(memory.ofManifest(keys, inspection.digest), inspection);
    if (best !== inspection) return 'done';
    memory.remember(keys, inspection, checkedAt);
    if (request.dryRun !== true) guardedStore.keep(keys, request.platform, { inspection, checkedAt });
    return 'done';
  } catch (error) {
    if (context.signal.aborted) return 'failed';
    const { code } = readFailure(error);
    if (code === 'internal') onError(error);
    return code === 'shed' || isPassing(code) ? 'failed' : 'done';
  }
}

/** Returns the better of two inspections of one image: newer rules first, then confidence, then `a`. */
export function surer(a: Inspection | undefined, b: Inspection): Inspection {
  if (a === undefined) return b;
  if (a.outdated !== b.outdated) return a.outdated === true ? b : a;
  return b.verdict.evidence.confidence > a.verdict.evidence.confidence ? b : a;
}
