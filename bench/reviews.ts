import { randomUUID } from 'node:crypto';

import { fixture, type Review } from '../test/support/reviews.ts';

export interface Body {
  readonly name: string;
  /** Each of another Pod, as an API server writes it. */
  readonly texts: readonly string[];
}

interface Container {
  image: string;
  command?: string[];
  args?: string[];
  env?: { name: string; value: string }[];
  volumeMounts?: object[];
}

export const containersOf = (review: Review): Container[] => {
  const { initContainers = [], containers } = review.request.object.spec as Record<string, Container[] | undefined>;
  return [...(initContainers ?? []), ...(containers ?? [])];
};

const LARGE = 300_000;

/** A Pod as operators of data platforms make them: hundreds of variables in each container. */
function large(): Review {
  const review = fixture('storefront');
  const containers = containersOf(review);
  const each = Math.ceil((LARGE - JSON.stringify(review).length) / containers.length / 100);
  for (const container of containers) {
    container.env = Array.from({ length: each }, (_, index) => ({
      name: `SETTING_${index}`,
      value: `${index} `.repeat(70).slice(0, 70),
    }));
  }
  return review;
}

/** A Pod with a volume of its own, as nearly all StatefulSets' have. */
function statefulset(): Review {
  const review = fixture('postgres-0');
  const { volumes } = review.request.object.spec as { volumes: object[] };
  volumes.unshift({ name: 'data', persistentVolumeClaim: { claimName: 'data-postgres-0' } });
  containersOf(review)[0]?.volumeMounts?.unshift({ name: 'data', mountPath: '/var/lib/postgresql/data' });
  return review;
}

/** A Pod of a Job with completion mode Indexed, as its controller writes it. */
function indexed(): Review {
  const review = fixture('report');
  const { metadata, spec } = review.request.object;
  const number = { 'batch.kubernetes.io/job-completion-index': '0' };
  metadata['generateName'] = 'report-29920072-0-';
  metadata['annotations'] = number;
  metadata['labels'] = { ...number, ...(metadata['labels'] as object) };
  spec['hostname'] = 'report-29920072-0';
  for (const container of containersOf(review)) container.command = ['/app', 'report'];
  return review;
}

/** A Pod with arguments of its own, as CI and workflows have: none is like another. */
function step(): Review {
  const review = indexed();
  for (const container of containersOf(review)) container.args = ['--step=report-29920072-0'];
  return review;
}

/** What controllers write otherwise in the Pod of each number: StatefulSets its name and a label. */
const ofStatefulSet = (text: string, index: number): string =>
  text
    .replaceAll('postgres-0', `postgres-${index}`)
    .replace(/(?<="apps\.kubernetes\.io\/pod-index":")\d+/, String(index));

/** DaemonSets its node: a name as EC2 gives it. */
const ofDaemonSet = (text: string, index: number): string =>
  text.replace('"node-a"', `"ip-10-0-${Math.floor(index / 250)}-${index % 250}.ec2.internal"`);

/** Indexed Jobs a label, an annotation, and what the name begins with. */
const ofIndexedJob = (text: string, index: number): string =>
  text
    .replaceAll('report-29920072-0', `report-29920072-${index}`)
    .replaceAll(/(?<="batch\.kubernetes\.io\/job-completion-index":")\d+/g, String(index));

/** As API servers make them (util/rand). */
const suffix = (): string =>
  Array.from({ length: 5 }, () => 'bcdfghjklmnpqrstvwxz2456789'[Math.floor(27 * Math.random())]).join('');

/** The second in which each next Pod is made. */
const second = (index: number): string =>
  `${new Date(Date.UTC(2026, 0, 1) + 1000 * index).toISOString().slice(0, 19)}Z`;

/** What an API server writes anew for each Pod of a template: uid, token volume, time. */
function another(text: string, index: number): string {
  return text
    .replace(/(?<="request":\{"uid":")[^"]*/, randomUUID())
    .replaceAll(/(?<="kube-api-access-)[^"]*/g, suffix())
    .replaceAll(/(?<="time":")[^"]*/g, second(index));
}

/** How many reviews there are of each. A StatefulSet's, a DaemonSet's and an Indexed Job's differ in more than those of other templates. */
const PODS = {
  plain: 1000,
  mixed: 1000,
  statefulset: 3000,
  daemonset: 3000,
  indexed: 3000,
  // So many that one has been forgotten when it comes again.
  step: 12_000,
  large: 20,
} as const;

type Name = keyof typeof PODS;

const REVIEWS: Readonly<Record<Name, () => Review>> = {
  plain: () => fixture('plain'),
  mixed: () => fixture('mixed'),
  statefulset,
  daemonset: () => fixture('node-agent'),
  indexed,
  step,
  large,
};

const NUMBERED: Readonly<Partial<Record<Name, (text: string, index: number) => string>>> = {
  statefulset: ofStatefulSet,
  daemonset: ofDaemonSet,
  indexed: ofIndexedJob,
  step: ofIndexedJob,
};

/** Reviews of so many Pods, with the images that `rename` gives them: captured ones, and a large one made of one of them. */
export function textsOf(name: Name, rename: (image: string) => string, pods: number = PODS[name]): string[] {
  const review = REVIEWS[name]();
  for (const container of containersOf(review)) container.image = rename(container.image);
  const text = JSON.stringify(review);
  const numbered = NUMBERED[name] ?? ((same: string) => same);
  return Array.from({ length: pods }, (_, index) => another(numbered(text, index), index));
}

export const bodies = (rename: (image: string) => string): Body[] =>
  (Object.keys(PODS) as Name[]).map((name) => ({ name, texts: textsOf(name, rename) }));

/** One review after the other, and from the beginning. */
export function inTurn(texts: readonly string[]): () => string {
  let next = 0;
  return () => {
    next = (next + 1) % texts.length;
    return texts[next] ?? '';
  };
}
