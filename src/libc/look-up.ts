import { readFailure, type Failure } from './detection-failure.ts';
import type { DetectionKeys } from './detection-keys.ts';
import type { DetectRequest, Inspect, Inspection } from './detector.ts';
import type { FailureMemory } from './failure-memory.ts';
import { ImageSourceError, type ImageSource, type ImageSources, type LookupContext } from './image-source.ts';
import type { ManifestMemory } from './manifest-memory.ts';
import type { SharedVerdicts } from './shared-verdicts.ts';
import type { VerdictMemory } from './verdict-memory.ts';

export interface LookupParts {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  /** With wider limits, for the background. Absent: there is no second look. */
  readonly inspectFully?: Inspect;
  readonly shared: SharedVerdicts;
  readonly memory: VerdictMemory;
  readonly failures: FailureMemory;
  readonly manifests: ManifestMemory;
  readonly clock: { now(): number };
  /** An error that no source documents: one of our own. */
  readonly onError: (error: unknown) => void;
}

export interface LookupTask {
  readonly keys: DetectionKeys;
  readonly login: string;
  readonly request: DetectRequest;
  /** Ask the registry whatever the store says: the reference may have moved. */
  readonly revalidates: boolean;
}

/** The context of a look-up on behalf of a request. */
export function withLogins({ credentials }: DetectRequest, context: LookupContext): LookupContext {
  return credentials === undefined ? context : { ...context, credentials };
}

/** Looks an image up again, although it is known, and remembers what is found where that is surer. Never rejects. */
export async function lookUpFully(parts: LookupParts, task: LookupTask, context: LookupContext): Promise<void> {
  const { memory, sources, clock, inspectFully, onError } = parts;
  if (inspectFully === undefined) return;
  const checkedAt = clock.now();
  try {
    const inspection = await inspectFully(sources.open(task.request.reference), task.request, context);
    const known = memory.ofManifest(task.keys, inspection.digest)?.verdict.evidence.confidence ?? 0;
    if (inspection.verdict.evidence.confidence > known) keep(parts, task, inspection, checkedAt);
  } catch (error) {
    if (!context.signal.aborted && !(error instanceof ImageSourceError)) onError(error);
  }
}

export type LookupResult =
  | { readonly inspection: Inspection; readonly from: 'store' | 'registry' }
  | { readonly failure: Failure };

/**
 * Asks the shared store, then the registry, and remembers what comes out. Nothing but the manifest is read where its digest
 * is known already: a tag that has not moved, or one that stands for the same image as another. Never rejects.
 */
export async function lookUp(parts: LookupParts, task: LookupTask, context: LookupContext): Promise<LookupResult> {
  const { keys, login, request } = task;
  const stored = task.revalidates ? undefined : await findStored(parts, task, context);
  if (stored !== undefined) return { inspection: stored, from: 'store' };
  const progress: Progress = {};
  try {
    const source = watchManifest(parts.sources.open(request.reference), parts, task, progress);
    const inspection = await parts.inspect(source, request, context).catch((error: unknown) => {
      if (progress.known === undefined) throw error;
      return progress.known;
    });
    keep(parts, task, inspection, progress.checkedAt ?? parts.clock.now());
    return { inspection, from: 'registry' };
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

async function findStored(
  { shared, memory, clock }: LookupParts,
  { keys, request }: LookupTask,
  { signal }: LookupContext,
): Promise<Inspection | undefined> {
  const stored = await shared.find(keys, request.platform, signal);
  if (stored === undefined) return undefined;
  // Another replica's clock may be ahead of ours.
  memory.remember(keys, stored.inspection, Math.min(stored.checkedAt, clock.now()));
  return stored.inspection;
}

function keep(
  { memory, shared }: LookupParts,
  { keys, request }: LookupTask,
  inspection: Inspection,
  checkedAt: number,
): void {
  memory.remember(keys, inspection, checkedAt);
  // Others may have more luck with what we could not tell.
  if (inspection.verdict.resolver === 'unknown') return;
  shared.keep(keys, request.platform, { inspection, checkedAt });
}
