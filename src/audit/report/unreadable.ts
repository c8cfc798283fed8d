import type { DetectionFailure } from '../../detection/detector.ts';
import { compareText, shellWord } from '../../util/text.ts';
import type { AuditReport, ImageEntry, UnreadableImage, WorkloadEntry } from './report.ts';

/** Images that cannot be read for one reason in one registry: one change helps them all. */
export interface UnreadableGroup {
  /** `docker.io`, or host and port. */
  readonly registry: string;
  /** A `DetectionFailure`. */
  readonly code: string;
  /** What to grant or to set, one sentence. */
  readonly grant: string;
  readonly images: readonly UnreadableImage[];
  /** Pods with at least one of the images. */
  readonly pods: number;
}

interface Counted {
  readonly images: readonly UnreadableImage[];
  pods: number;
}

/** Groups the images that could not be read by registry and reason. The group that most Pods need comes first. */
export function unreadableGroups(report: Pick<AuditReport, 'unreadable' | 'workloads'>): UnreadableGroup[] {
  const groups = Map.groupBy(report.unreadable, ({ image, code }) => JSON.stringify([registryOf(image), code]));
  const counted = [...groups.values()].map((images): Counted => ({ images, pods: 0 }));
  countPods(counted, report.workloads);
  return counted
    .flatMap(({ images, pods }): UnreadableGroup[] => {
      const [first] = images;
      if (first === undefined) return [];
      return [{ registry: registryOf(first.image), code: first.code, grant: first.grant, images, pods }];
    })
    .toSorted((a, b) => b.pods - a.pods || compareText(a.registry, b.registry) || compareText(a.code, b.code));
}

const placeOf = (namespace: string, image: string): string => JSON.stringify([namespace, image]);

/** Counts each Pod once in a group, however many images of it are in the Pod. */
function countPods(groups: readonly Counted[], workloads: readonly WorkloadEntry[]): void {
  const byPlace = new Map<string, Set<Counted>>();
  for (const group of groups) {
    for (const { image, namespaces } of group.images) {
      for (const namespace of namespaces) {
        const place = placeOf(namespace, image);
        byPlace.set(place, (byPlace.get(place) ?? new Set()).add(group));
      }
    }
  }
  for (const { namespace, containers, pods } of workloads) {
    const needed = new Set<Counted>();
    for (const { image } of containers) {
      for (const group of byPlace.get(placeOf(namespace, image)) ?? []) needed.add(group);
    }
    for (const group of needed) group.pods += pods;
  }
}

/** Returns the number of images that nobody has tried to read: registries may not be asked (`--offline`). */
export function notLookedUp(images: readonly ImageEntry[]): number {
  return new Set(images.flatMap(({ image, error }) => (error?.code === 'disabled' ? [image] : []))).size;
}

/** Returns host and port of an image's registry as the image names it. */
function registryOf(image: string): string {
  const [first = ''] = image.split('/', 1);
  const isHost = image.includes('/') && (/[.:]/.test(first) || first === 'localhost');
  return isHost ? first : 'docker.io';
}

/** Says what to grant or to set so that the image can be read. */
export function grantFor(code: DetectionFailure, image: string): string {
  const host = registryOf(image);
  const declare = 'or declare the libc: annotation libc-dns.dev/libc on the Pods, or an ImageLibc';
  const grants: Readonly<Record<DetectionFailure, string>> = {
    unauthorized: `Log in (docker login ${shellWord(host)}) before the audit; give the webhook detection.registry.dockerConfig, pullSecrets or identities; ${declare}.`,
    'forbidden-host': `Allow ${host}: detection.registry.allow, deny, insecure and allowPrivateAddresses; ${declare}.`,
    'not-found': `The image is no longer in ${host}: Pods run only where it was pulled before. Push it again, ${declare}.`,
    'no-platform': `Nothing for this platform is in the image: set --platform (detection.platform) to that of the nodes.`,
    'not-an-image': `It is not a readable container image; ${declare}.`,
    'invalid-reference': 'Correct the reference: it is not an image name.',
    'rate-limited': `${host} limits requests: log in (docker login ${shellWord(host)}), set detection.registry.mirrors, or try again later.`,
    unavailable: `Make ${host} reachable from here (network, proxy, detection.registry.caFile, insecure); ${declare}.`,
    'invalid-answer': `${host} answers what is no valid image: look at the registry, or a proxy before it; ${declare}.`,
    deadline: `Try again: the look-up took too long; ${declare}.`,
    shed: 'Try again: too many look-ups were under way.',
    disabled: `Omit --offline, or set detection.registry.enabled: true; ${declare}.`,
    internal: 'Please report this bug, with the message.',
    quarantined: `Rebuild the image: its content makes the webhook fail. Or ${declare}.`,
  };
  return grants[code];
}
