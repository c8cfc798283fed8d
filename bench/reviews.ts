import { randomUUID } from 'node:crypto';

import { fixture, type Review } from '../test/support/reviews.ts';

export interface Body {
  readonly name: string;
  /** Reviews of different Pods, as an API server sends them. */
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

/** Bytes of the large review. */
const LARGE = 300_000;

/** A Pod of a data platform's operator, with hundreds of variables in each container. */
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

/** A Pod with its own volume, as most StatefulSets have. */
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

/** A Pod with its own arguments, as in CI and workflows: no two are equal. */
function step(): Review {
  const review = indexed();
  for (const container of containersOf(review)) container.args = ['--step=report-29920072-0'];
  return review;
}

/** StatefulSets give each Pod its own name and a label. */
const ofStatefulSet = (text: string, index: number): string =>
  text
    .replaceAll('postgres-0', `postgres-${index}`)
    .replace(/(?<="apps\.kubernetes\.io\/pod-index":")\d+/, String(index));

/** DaemonSets give each Pod its own node, here with a name as on EC2. */
const ofDaemonSet = (text: string, index: number): string =>
  text.replace('"node-a"', `"ip-10-0-${Math.floor(index / 250)}-${index % 250}.ec2.internal"`);

/** Indexed Jobs give each Pod its own label, annotation and name prefix. */
const ofIndexedJob = (text: string, index: number): string =>
  text
    .replaceAll('report-29920072-0', `report-29920072-${index}`)
    .replaceAll(/(?<="batch\.kubernetes\.io\/job-completion-index":")\d+/g, String(index));

/** Returns a name suffix like an API server's (util/rand). */
const suffix = (): string =>
  Array.from({ length: 5 }, () => 'bcdfghjklmnpqrstvwxz2456789'[Math.floor(27 * Math.random())]).join('');

/** Returns a creation time one second after the Pod before. */
const creationTime = (index: number): string =>
  `${new Date(Date.UTC(2026, 0, 1) + 1000 * index).toISOString().slice(0, 19)}Z`;

/** Replaces what an API server writes anew for each Pod of a template: uid, token volume, time. */
function nextPod(text: string, index: number): string {
  return text
    .replace(/(?<="request":\{"uid":")[^"]*/, randomUUID())
    .replaceAll(/(?<="kube-api-access-)[^"]*/g, suffix())
    .replaceAll(/(?<="time":")[^"]*/g, creationTime(index));
}

/** Number of reviews of each kind. Pods of StatefulSets, DaemonSets and Indexed Jobs differ in more fields than others. */
const PODS = {
  plain: 1000,
  mixed: 1000,
  statefulset: 3000,
  daemonset: 3000,
  indexed: 3000,
  // So many that the server has evicted a review before it is sent again.
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

/** Returns reviews of `pods` Pods with images renamed by `rename`, made from captured reviews. */
export function textsOf(name: Name, rename: (image: string) => string, pods: number = PODS[name]): string[] {
  const review = REVIEWS[name]();
  for (const container of containersOf(review)) container.image = rename(container.image);
  const text = JSON.stringify(review);
  const numbered = NUMBERED[name] ?? ((same: string) => same);
  return Array.from({ length: pods }, (_, index) => nextPod(numbered(text, index), index));
}

export const bodies = (rename: (image: string) => string): Body[] =>
  (Object.keys(PODS) as Name[]).map((name) => ({ name, texts: textsOf(name, rename) }));

/** Returns a function that yields one review after another, in a cycle. */
export function inTurn(texts: readonly string[]): () => string {
  let next = 0;
  return () => {
    next = (next + 1) % texts.length;
    return texts[next] ?? '';
  };
}
