import { readFailure, type Failure } from './detection-failure.ts';
import type { DetectionKeys } from './detection-keys.ts';
import type { DetectRequest, Inspect, Inspection } from './detector.ts';
import type { FailureMemory } from './failure-memory.ts';
import {
  ImageSourceError,
  type ImageManifest,
  type ImageSource,
  type ImageSources,
  type LookupContext,
} from './image-source.ts';
import type { SharedVerdicts } from './shared-verdicts.ts';
import type { VerdictMemory } from './verdict-memory.ts';

export interface LookupParts {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  readonly shared: SharedVerdicts;
  readonly memory: VerdictMemory;
  readonly failures: FailureMemory;
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

export type LookupResult =
  | { readonly inspection: Inspection; readonly from: 'store' | 'registry' }
  | { readonly failure: Failure };

/**
 * Asks the shared store, then the registry, and remembers what comes out. The manifest alone is fetched where its digest
 * is known already: a tag that has not moved, or one that stands for the same image as another. Never rejects.
 */
export async function lookUp(parts: LookupParts, task: LookupTask, context: LookupContext): Promise<LookupResult> {
  const { keys, login, request } = task;
  const stored = task.revalidates ? undefined : await findStored(parts, task, context);
  if (stored !== undefined) return { inspection: stored, from: 'store' };
  let run: string | undefined;
  try {
    const source = parts.sources.open(request.reference);
    const checkedAt = parts.clock.now();
    const manifest = await source.manifest(request.platform, context);
    ({ run } = keys);
    const known = parts.memory.ofManifest(keys, manifest.digest);
    const inspection = known ?? (await parts.inspect(withManifest(source, manifest), request, context));
    keep(parts, task, { ...inspection, digest: manifest.digest }, checkedAt);
    return { inspection, from: 'registry' };
  } catch (error) {
    const failure = readFailure(error, context.signal);
    if (!context.signal.aborted && !(error instanceof ImageSourceError)) parts.onError(error);
    parts.failures.remember({ keys, login, ...(run !== undefined && { run }) }, failure);
    return { failure };
  }
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

/** The source, with the manifest that was fetched already. */
function withManifest(source: ImageSource, manifest: ImageManifest): ImageSource {
  return {
    manifest: async () => await Promise.resolve(manifest),
    config: async (of, context) => await source.config(of, context),
    read: (blob, offset, length, context) => source.read(blob, offset, length, context),
  };
}
