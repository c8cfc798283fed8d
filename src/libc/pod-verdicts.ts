import { readDeclared } from '../policy/annotations.ts';
import type { ContainerView, PodView } from '../policy/model.ts';
import { unknownVerdict, type Verdict } from '../policy/verdict.ts';
import type { DetectRequest, Detector } from './detector.ts';
import type { Platform } from './image-source.ts';
import { podPlatform } from './platform.ts';

/** Different images that one Pod may make us look up: whoever creates Pods chooses how many there are. */
const MOST_LOOKUPS = 32;

export interface PodVerdictsOptions {
  /** Absent: only annotations are read. */
  readonly detector?: Detector;
  readonly platform: Platform;
  /** The Pod's registry logins, read only when an image has to be looked up. */
  readonly credentials?: (pod: PodView) => Promise<NonNullable<DetectRequest['credentials']>>;
}

const NOT_LOOKED_UP = unknownVerdict('no annotation says it, and the registry look-up is off');
const TOO_MANY = unknownVerdict(`not looked up: the Pod has more than ${MOST_LOOKUPS} different images`);
const OUT_OF_TIME = unknownVerdict(
  'the look-up did not finish in the time a Pod may wait; it goes on for the next one',
);

const runKey = ({ image, command, args }: ContainerView): string => JSON.stringify([image, command, args]);

/** Settles with `late` when `deadline` comes first; the promise goes on unwatched. */
function before<T>(promise: Promise<T>, deadline: AbortSignal, late: T): Promise<T> {
  if (deadline.aborted) return Promise.resolve(late);
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(late);
    deadline.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => deadline.removeEventListener('abort', stop));
  });
}

/**
 * The verdict for each of the Pod's containers, in order: what the user declared, else what the detector finds before
 * `budgetMs` is over, else unknown. Never rejects.
 */
export async function podVerdicts(pod: PodView, budgetMs: number, options: PodVerdictsOptions): Promise<Verdict[]> {
  const declared = readDeclared(pod);
  const known = pod.containers.map(({ name }) => declared.verdictFor(name));
  const { detector } = options;
  if (detector === undefined || known.every((verdict) => verdict !== undefined)) {
    return known.map((verdict) => verdict ?? NOT_LOOKED_UP);
  }
  const deadline = AbortSignal.timeout(Math.max(1, Math.floor(budgetMs)));
  const platform = podPlatform(pod, options.platform);
  const credentials = await before(options.credentials?.(pod) ?? Promise.resolve([]), deadline, []).catch(() => []);
  const lookups = new Map<string, Promise<Verdict>>();
  const lookUp = async ({ image, command, args }: ContainerView): Promise<Verdict> => {
    const request = { reference: image, platform, command, args, credentials };
    const found = detector.detect(request, deadline).then((detection) => detection.verdict);
    return before(found, deadline, OUT_OF_TIME).catch((error: unknown) =>
      unknownVerdict(`the look-up failed: ${error instanceof Error ? error.message : 'unknown error'}`),
    );
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
