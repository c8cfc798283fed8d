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
import type { PodCredentials } from '../detection/pod-verdicts.ts';
import { readDeclared } from '../policy/annotations.ts';
import { exemption } from '../policy/exemptions.ts';
import type { ContainerView, PodView } from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';
import type { PodGroup } from './scan/scanned.ts';

/** What containers run, each looked up once. */
export interface Lookups {
  /** What was found for a container; undefined: it was not looked up. */
  of(container: ContainerView, pod: PodView): Detection | undefined;
  /** Answers from what was found, at once. */
  readonly detector: Detector;
}

export interface LookupOptions {
  /** Absent: nothing is looked up. */
  readonly detector: Detector | undefined;
  readonly platform: Platform;
  readonly credentials: PodCredentials | undefined;
  readonly signal: AbortSignal;
  /** `done` of `all` images, and the one that was looked up last. */
  readonly onProgress: (done: number, all: number, image: string) => void;
}

type Run = Pick<DetectRequest, 'reference' | 'platform'> & ContainerRun;

interface Asked {
  readonly run: Run;
  /** Pods that may have logins for it. */
  readonly askers: { readonly pod: PodView; readonly namespace: string }[];
}

/** A person waits longer than an API server does. */
const LOOKUP_MS = 60_000;

/** Images looked up at once; a registry's own limit (detection.registry.concurrency) holds beside it. */
const AT_ONCE = 8;

/** Sets of logins that are tried for one image. */
const MOST_ASKERS = 3;

const keyOf = ({ reference, platform, command, args, env }: Run): string =>
  JSON.stringify([reference, platform.os, platform.architecture, platform.variant ?? '', command, args, env]);

const runOf = (container: ContainerView, pod: PodView, fallback: Platform): Run => ({
  reference: container.image,
  platform: podPlatform(pod, fallback),
  ...containerRun(container),
});

/** The Pod of a group; undefined where it is not well formed. */
export function podOf(group: PodGroup): PodView | undefined {
  try {
    return readPod(group.pod);
  } catch (error) {
    if (error instanceof MalformedPodError) return undefined;
    throw error;
  }
}

function collect(groups: readonly PodGroup[], platform: Platform): Map<string, Asked> {
  const asked = new Map<string, Asked>();
  for (const group of groups) {
    const pod = podOf(group);
    if (pod === undefined || exemption(pod) === 'Windows') continue;
    const declared = readDeclared(pod);
    for (const container of pod.containers) {
      if (container.image === '' || declared.verdictFor(container.name) !== undefined) continue;
      const run = runOf(container, pod, platform);
      const key = keyOf(run);
      const known = asked.get(key) ?? { run, askers: [] };
      if (known.askers.length < MOST_ASKERS) known.askers.push({ pod, namespace: group.owner.namespace });
      asked.set(key, known);
    }
  }
  return asked;
}

/** With the logins of one Pod after the other, as long as the registry refuses them. */
async function lookUp(detector: Detector, { run, askers }: Asked, options: LookupOptions): Promise<Detection> {
  const { credentials, signal } = options;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(LOOKUP_MS)]);
  // Ahead of Pods, and in a rehearsal: what is known answers, however old, and nothing is written.
  const request = { ...run, ahead: true, dryRun: true };
  if (credentials === undefined) return await detector.detect(request, deadline);
  let detection: Detection | undefined;
  for (const { pod, namespace } of askers) {
    // Secrets are read only where a registry is asked.
    const logins = async (): Promise<Logins> => await credentials(pod, namespace);
    detection = await detector.detect({ ...request, credentials: logins }, deadline);
    if (detection.failure?.code !== 'unauthorized') break;
  }
  return detection ?? (await detector.detect(request, deadline));
}

async function lookUpAll(detector: Detector, asked: ReadonlyMap<string, Asked>, options: LookupOptions) {
  const { signal, onProgress } = options;
  const found = new Map<string, Detection>();
  const waiting = [...asked];
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
 * Looks up what the containers of all groups run, each image and command line once, a few at a time. Rejects with the signal's
 * reason alone.
 */
export async function lookUpImages(groups: readonly PodGroup[], options: LookupOptions): Promise<Lookups> {
  const { detector, platform, signal } = options;
  signal.throwIfAborted();
  const found =
    detector === undefined
      ? new Map<string, Detection>()
      : await lookUpAll(detector, collect(groups, platform), options);
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
