import type { Detector, DetectRequest, Logins } from '../detection/detector.ts';
import { imageEntry } from './images.ts';

/** What a workload runs. */
export interface Offer {
  readonly request: DetectRequest;
  readonly login?: { readonly read: () => Promise<Logins> };
}

export interface Workload {
  readonly namespace: string;
  /** Tells workloads of a namespace apart. */
  readonly workload: string;
  /** Pods that it asks for. */
  readonly pods: number;
  /** Reports whether it still exists with what it offered. */
  readonly isCurrent: () => boolean;
}

/** Most images of a namespace that are known of. */
const MOST_IMAGES = 10_000;
/** Images beyond these until the least used ones are forgotten, all at once. */
const SPARE_IMAGES = 1000;
/** Milliseconds after which it is asked whether an image's tag has moved, and how many of a namespace are asked at a time. */
const CHECK_MS = 60 * 60_000;
const MOST_CHECKS = 8;

interface Image {
  readonly request: DetectRequest;
  /** The workloads that run it. */
  readonly users: Map<string, Pick<Workload, 'pods' | 'isCurrent'>>;
  /** When the registry was last asked whether its tag has moved. */
  checkedAt: number;
}

/** What the workloads of a namespace run, by the request as text; the last one that was offered comes last. */
export type OfferedImages = Map<string, Image>;

/** Notes that a workload runs an image. Forgets the least used ones if there are too many. */
export function noteOffer(
  images: OfferedImages,
  key: string,
  { request: asked, login }: Offer,
  { workload, pods, isCurrent }: Workload,
  now: number,
): void {
  const request = login === undefined ? asked : { ...asked, credentials: login.read };
  const image: Image = images.get(key) ?? { request, users: new Map(), checkedAt: now };
  image.users.set(workload, { pods, isCurrent });
  images.delete(key);
  images.set(key, image);
  if (images.size >= MOST_IMAGES + SPARE_IMAGES) forgetLeastUsed(images);
}

/** Forgets the images that the fewest Pods use; if equally many do, the image that was offered first. */
function forgetLeastUsed(images: OfferedImages): void {
  const used = [...images].map(([key, image]) => ({ key, pods: podsOf(image) }));
  const sorted = used.toSorted((a, b) => a.pods - b.pods);
  for (const { key } of sorted.slice(0, images.size - MOST_IMAGES)) images.delete(key);
}

/** Returns the Pods that ask for an image. Forgets workloads that run it no more. */
function podsOf({ users }: Image): number {
  let sum = 0;
  for (const [workload, { pods, isCurrent }] of users) {
    if (isCurrent()) sum += pods;
    else users.delete(workload);
  }
  return sum;
}

const usable = (resolvers: string): number => (resolvers === 'unknown' ? 0 : 1);

/**
 * Returns the entries of the images that workloads still run, the most used first, of the same use the last offered; those that are looked
 * up and of no use to the policy come last. `missing`: images without a verdict yet.
 */
export function entriesOf(
  images: OfferedImages,
  detector: Pick<Detector, 'peek'>,
  now: number,
): { readonly images: ReadonlyMap<string, string>; readonly missing: number } {
  const entries = new Map<string, { readonly resolvers: string; pods: number }>();
  let missing = 0;
  let checks = MOST_CHECKS;
  for (const [key, image] of [...images].toReversed()) {
    const { request, users } = image;
    const pods = podsOf(image);
    if (users.size === 0) {
      images.delete(key);
      continue;
    }
    const detection = detector.peek?.({ ...request, ahead: true });
    if (detection === undefined) {
      missing += 1;
      continue;
    }
    if (checks > 0 && now - image.checkedAt >= CHECK_MS) {
      image.checkedAt = now;
      checks -= 1;
      // Asks the registry in the background whether the tag has moved.
      detector.peek?.(request);
    }
    const entry = imageEntry(request, detection);
    const known = entries.get(entry.key);
    if (known === undefined) entries.set(entry.key, { resolvers: entry.resolvers, pods });
    else known.pods += pods;
  }
  const sorted = [...entries].toSorted(([, a], [, b]) => usable(b.resolvers) - usable(a.resolvers) || b.pods - a.pods);
  return { images: new Map(sorted.map(([key, { resolvers }]) => [key, resolvers])), missing };
}
