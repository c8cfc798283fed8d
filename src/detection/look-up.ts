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
import { type ImageSource, ImageSourceError, type ImageSources, type LookupContext } from './image-source.ts';
import type { DetectionKeys } from './keys.ts';
import type { SharedVerdicts } from './verdict-store.ts';

export interface LookupParts {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  /** With wider limits, for the background. Absent: there is no second look. */
  readonly inspectFully?: Inspect;
  readonly shared: SharedVerdicts;
  readonly memory: VerdictMemory;
  readonly failures: FailureMemory;
  readonly manifests: ManifestMemory;
  readonly clock: Pick<Clock, 'now'>;
  /** An error that no source documents: one of our own. */
  readonly onError: (error: unknown) => void;
}

export interface LookupTask {
  readonly keys: DetectionKeys;
  readonly request: DetectRequest;
}

/** A task whose logins have been read. */
export interface LoggedInTask extends LookupTask {
  readonly request: DetectRequest & { readonly credentials: Logins };
  readonly login: string;
}

/** The context of a look-up on behalf of a request, whose logins are read now if they have not been. */
export async function withLogins({ credentials }: DetectRequest, context: LookupContext): Promise<LookupContext> {
  const logins = typeof credentials === 'function' ? await credentials() : credentials;
  return logins === undefined ? context : { ...context, credentials: logins };
}

/** How a second look ended. `failed`: for a reason that may pass. */
export type LookAgain = 'done' | 'failed';

/**
 * Looks an image up again, although it is known: afresh where older rules made what is known, else with wider limits.
 * What is found is remembered and stored where it is surer, or made by newer rules. Never rejects.
 */
export async function lookAgain(
  parts: LookupParts,
  task: LookupTask,
  known: Inspection,
  context: LookupContext,
): Promise<LookAgain> {
  const { memory, sources, clock, shared, onError } = parts;
  const look = known.outdated === true ? parts.inspect : parts.inspectFully;
  if (look === undefined) return 'done';
  const { keys, request } = task;
  const stored = known.outdated === true ? shared.find(keys, request.platform) : undefined;
  // Another replica was quicker.
  if (stored !== undefined && stored.inspection.outdated !== true) return 'done';
  const checkedAt = clock.now();
  try {
    const inspection = await look(sources.open(request.reference), request, context);
    const best = surer(memory.ofManifest(keys, inspection.digest), inspection);
    if (best !== inspection) return 'done';
    memory.remember(keys, inspection, checkedAt);
    if (request.dryRun !== true) shared.keep(keys, request.platform, { inspection, checkedAt });
    return 'done';
  } catch (error) {
    if (context.signal.aborted) return 'failed';
    if (!(error instanceof ImageSourceError)) onError(error);
    return isPassing(readFailure(error).code) ? 'failed' : 'done';
  }
}

/** Of two inspections of one image, `a` unless `b` tells more: newer rules before older ones, then confidence. */
export function surer(a: Inspection | undefined, b: Inspection): Inspection {
  if (a === undefined) return b;
  if (a.outdated !== b.outdated) return a.outdated === true ? b : a;
  return b.verdict.evidence.confidence > a.verdict.evidence.confidence ? b : a;
}

export type LookupResult =
  | { readonly inspection: Inspection; readonly checkedAt: number }
  | { readonly failure: Failure };

/**
 * Asks the registry, and remembers what comes out. Nothing but the manifest is read where its digest is known already: a
 * tag that has not moved, or one that stands for the same image as another. Never rejects.
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
    if (!context.signal.aborted && !(error instanceof ImageSourceError)) parts.onError(error);
    const scope = { keys, login, ...(progress.checkedAt !== undefined && { run: keys.run }) };
    parts.failures.remember(scope, failure);
    // The tag may have moved, and the layers of what it stood for be gone.
    parts.manifests.forget(keys);
    return { failure };
  }
}

/** How far an inspection has come. */
interface Progress {
  /** When the manifest was asked for; absent until it is there. */
  checkedAt?: number;
  /** What is known about that manifest already. */
  known?: Inspection;
}

/** A source that ends the inspection at the manifest where that tells all, and fetches none that was seen just now. */
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
