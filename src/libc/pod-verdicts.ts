import { readDeclared } from '../policy/annotations.ts';
import type { ContainerView, PodView } from '../policy/model.ts';
import { unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { beforeAbort } from './before-abort.ts';
import type { Detector, Logins } from './detector.ts';
import type { Platform } from './image-source.ts';
import { podPlatform } from './platform.ts';

/** The admission that a Pod's images are looked into for. */
export interface PodRequest {
  /** The request's: the Pod's own may be empty. */
  readonly namespace: string;
  /** Milliseconds that the Pod may wait. */
  readonly budgetMs: number;
  /** Nothing may be written anywhere. */
  readonly dryRun?: boolean;
}

/** Different images that one Pod may make us look up: whoever creates Pods chooses how many there are. */
const MOST_LOOKUPS = 32;

export interface PodVerdictsOptions {
  /** Absent: only annotations are read. */
  readonly detector?: Detector;
  readonly platform: Platform;
  readonly credentials?: PodCredentials;
}

/** The registry logins that a Pod of this namespace may use. Whatever goes wrong, there are just fewer of them. */
export type PodCredentials = (
  pod: Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>,
  namespace: string,
) => Promise<Logins>;

const NOT_LOOKED_UP = unknownVerdict('no annotation says it, and the registry look-up is off');
const TOO_MANY = unknownVerdict(`not looked up: the Pod has more than ${MOST_LOOKUPS} different images`);
const OUT_OF_TIME = unknownVerdict(
  'the look-up did not finish in the time a Pod may wait; it goes on for the next one',
);

const runKey = ({ image, command, args }: ContainerView): string => JSON.stringify([image, command, args]);

/**
 * The Pod's logins; none where they cannot be read in half of the time: its image may be public, and its look-up needs
 * the other half.
 */
async function loginsOf(
  pod: PodView,
  { namespace, budgetMs }: PodRequest,
  { credentials }: PodVerdictsOptions,
): Promise<Logins> {
  if (credentials === undefined) return [];
  const limit = AbortSignal.timeout(Math.ceil(budgetMs / 2));
  return (await beforeAbort(credentials(pod, namespace), limit).catch(() => undefined)) ?? [];
}

/**
 * The verdict for each of the Pod's containers, in order: what the user declared, else what the detector finds before
 * `budgetMs` is over, else unknown. Never rejects.
 */
export async function podVerdicts(
  pod: PodView,
  admission: PodRequest,
  options: PodVerdictsOptions,
): Promise<Verdict[]> {
  const declared = readDeclared(pod);
  const known = pod.containers.map(({ name }) => declared.verdictFor(name));
  const { detector } = options;
  if (detector === undefined || known.every((verdict) => verdict !== undefined)) {
    return known.map((verdict) => verdict ?? NOT_LOOKED_UP);
  }
  const waitMs = Math.max(1, Math.floor(admission.budgetMs));
  const { dryRun = false } = admission;
  const deadline = AbortSignal.timeout(waitMs);
  const platform = podPlatform(pod, options.platform);
  let read: Promise<Logins> | undefined;
  const credentials = (): Promise<Logins> => (read ??= loginsOf(pod, { ...admission, budgetMs: waitMs }, options));
  const lookups = new Map<string, Promise<Verdict>>();
  const lookUp = async ({ image, command, args }: ContainerView): Promise<Verdict> => {
    const request = { reference: image, platform, command, args, credentials, dryRun };
    try {
      const detection = await beforeAbort(detector.detect(request, deadline), deadline);
      return detection?.verdict ?? OUT_OF_TIME;
    } catch (error) {
      return unknownVerdict(`the look-up failed: ${error instanceof Error ? error.message : 'unknown error'}`);
    }
  };
  const pending = pod.containers.map(async (container, index) => {
    const verdict = known[index];
    if (verdict !== undefined) return verdict;
    if (container.image === '') return unknownVerdict('the container names no image');
    const key = runKey(container);
    if (!lookups.has(key) && lookups.size >= MOST_LOOKUPS) return TOO_MANY;
    const lookup = lookups.get(key) ?? lookUp(container);
    lookups.set(key, lookup);
    return lookup;
  });
  return Promise.all(pending);
}
