import {
  type ContainerRun,
  containerRun,
  type Detection,
  type Detector,
  type DetectRequest,
  type Logins,
} from '../detection/detector.ts';
import type { Platform } from '../detection/image-source.ts';
import { podPlatform } from '../detection/platform.ts';
import type { PodCredentials } from '../detection/pod/pod-verdicts.ts';
import { readDeclared } from '../policy/annotations.ts';
import { exemption } from '../policy/exemptions.ts';
import type { ContainerView, PodView } from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';
import type { PodGroup } from './scan/scanned.ts';

/** The results of image look-ups, one for each image and command line. */
export interface Lookups {
  /** Returns the result for a container; undefined if it was not looked up. */
  of(container: ContainerView, pod: PodView): Detection | undefined;
  /** Answers from these results without I/O. */
  readonly detector: Detector;
}

export interface LookupOptions {
  /** undefined: looks up nothing. */
  readonly detector: Detector | undefined;
  readonly platform: Platform;
  readonly credentials: PodCredentials | undefined;
  readonly signal: AbortSignal;
  /** Called after each look-up with the number done so far; `image` was looked up last. */
  readonly onProgress: (done: number, all: number, image: string) => void;
}

type Run = Pick<DetectRequest, 'reference' | 'platform'> & ContainerRun;

interface PendingLookup {
  readonly run: Run;
  /** Pods whose pull secrets may give access to the image. */
  readonly pods: { readonly pod: PodView; readonly namespace: string }[];
}

/** Longer than an admission request may take: here a person waits. */
const LOOKUP_MS = 60_000;

/** Concurrent look-ups. The limit for each registry (detection.registry.concurrency) applies as well. */
const AT_ONCE = 8;

/** Pods whose logins are tried for one image. */
const MOST_LOGINS = 3;

const keyOf = ({ reference, platform, ...run }: Run): string =>
  JSON.stringify([reference, platform.os, platform.architecture, platform.variant ?? '', containerRun(run)]);

const runOf = (container: ContainerView, pod: PodView, fallback: Platform): Run => ({
  reference: container.image,
  platform: podPlatform(pod, fallback),
  ...containerRun(container),
});

/** Returns the Pod of a group; undefined if it is malformed. */
export function podOf(group: PodGroup): PodView | undefined {
  try {
    return readPod(group.pod);
  } catch (error) {
    if (error instanceof MalformedPodError) return undefined;
    throw error;
  }
}

function pendingLookups(groups: readonly PodGroup[], platform: Platform): Map<string, PendingLookup> {
  const pending = new Map<string, PendingLookup>();
  for (const group of groups) {
    const pod = podOf(group);
    if (pod === undefined || exemption(pod) === 'Windows') continue;
    const declared = readDeclared(pod);
    for (const container of pod.containers) {
      if (container.image === '' || declared.verdictFor(container.name) !== undefined) continue;
      const run = runOf(container, pod, platform);
      const key = keyOf(run);
      const known = pending.get(key) ?? { run, pods: [] };
      if (known.pods.length < MOST_LOGINS) known.pods.push({ pod, namespace: group.owner.namespace });
      pending.set(key, known);
    }
  }
  return pending;
}

/** Tries the logins of one Pod after another until the registry accepts one. */
async function lookUp(detector: Detector, { run, pods }: PendingLookup, options: LookupOptions): Promise<Detection> {
  const { credentials, signal } = options;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_MS)]);
  // `ahead` accepts a stale verdict; `dryRun` writes nothing to the shared store.
  const request = { ...run, ahead: true, dryRun: true };
  if (credentials === undefined) return await detector.detect(request, deadline);
  let detection: Detection | undefined;
  for (const { pod, namespace } of pods) {
    // A function, so that Secrets are read only if a registry is asked.
    const logins = async (): Promise<Logins> => await credentials(pod, namespace);
    detection = await detector.detect({ ...request, credentials: logins }, deadline);
    if (detection.failure?.code !== 'unauthorized') break;
  }
  return detection ?? (await detector.detect(request, deadline));
}

async function lookUpAll(detector: Detector, pending: ReadonlyMap<string, PendingLookup>, options: LookupOptions) {
  const { signal, onProgress } = options;
  const found = new Map<string, Detection>();
  const waiting = [...pending];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let entry = waiting[next]; entry !== undefined; entry = waiting[next]) {
      next += 1;
      const [key, one] = entry;
      found.set(key, await lookUp(detector, one, options));
      signal.throwIfAborted();
      onProgress(found.size, waiting.length, one.run.reference);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, worker));
  return found;
}

/**
 * Looks up what the containers of all groups run: each image and command line once, {@link AT_ONCE} at a time. Rejects only
 * with the signal's reason.
 */
export async function lookUpImages(groups: readonly PodGroup[], options: LookupOptions): Promise<Lookups> {
  const { detector, platform, signal } = options;
  signal.throwIfAborted();
  const found =
    detector === undefined
      ? new Map<string, Detection>()
      : await lookUpAll(detector, pendingLookups(groups, platform), options);
  return {
    of: (container, pod) => found.get(keyOf(runOf(container, pod, platform))),
    detector: {
      detect: async (request) => {
        const detection = found.get(keyOf(request));
        if (detection === undefined) throw new Error('not among the images that were looked up');
        return detection;
      },
    },
  };
}
