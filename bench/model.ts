import { clusterMissing, startCluster } from '../test/support/cluster.ts';
import { installImageLibcs, LIBCS_PATH } from '../test/support/image-libc.ts';
import { fill } from './many.ts';
import type { Part } from './part.ts';
import { digits, type Table } from './report.ts';

/** A large cluster, on paper. */
export interface ModelCluster {
  readonly nodes: number;
  readonly pods: number;
  /** Image references, each run by as many Pods. */
  readonly images: number;
  /** The share of images that Docker Hub serves to anonymous callers. */
  readonly hubShare: number;
  readonly namespaces: number;
  readonly workloads: number;
  readonly replicas: number;
  /** Pods created a minute while nodes fail, and for how many minutes. */
  readonly wave: { readonly podsPerMinute: number; readonly minutes: number };
}

export const LARGE: ModelCluster = {
  nodes: 5000,
  pods: 150_000,
  images: 20_000,
  hubShare: 0.1,
  namespaces: 2000,
  workloads: 30_000,
  replicas: 3,
  wave: { podsPerMinute: 2000, minutes: 10 },
};

/** What a real API server sends: bytes of JSON. */
export interface ObjectBytes {
  readonly imageLibc: number;
  /** Metadata alone, as the webhook asks for it. */
  readonly namespace: number;
}

/** What the code does, by its constants. */
const CODE = {
  /** Namespaces, ImageLibcs, network policies; one object each: the CA's Secret, the registration. */
  watches: 5,
  /** Of the leader alone: Deployments, StatefulSets, DaemonSets, Jobs, CronJobs (`warm-up/workload-kinds`). */
  leaderWatches: 5,
  /** `image-libc/store.ts`: days without use after which a use is written; each replica takes its own number between these. */
  reuseDays: { least: 0.5, most: 1 },
  /** `image-libc/store.ts`: writes a second of each kind and replica, and those that may wait. */
  writes: { perSecond: 5, waiting: 1000 },
  /** `warmUp.hourly`: images of Docker Hub that the leader looks at ahead. */
  hubAhead: { hourly: 5, saved: 5 },
} as const;

/** Not ours to measure: what others say. */
const ASSUMED = {
  /** A Deployment with its managed fields (docs/warm-up.md measures with these). */
  workloadBytes: 5000,
  /** A node with the names of 50 images and its managed fields. */
  nodeBytes: 15_000,
  /** Minutes between two statuses of a node in which nothing changes (kubelet: nodeStatusReportFrequency). */
  nodeStatusMinutes: 5,
  /** GETs of manifests: index and manifest, for an image for several platforms. */
  firstLookGets: 2,
  /** Docker Hub: GETs of manifests in six hours of all anonymous callers behind one address. */
  hubQuota: 100,
} as const;

/** Returns how many different images there are among Pods drawn at random. */
export const distinct = (images: number, pods: number): number => images * (1 - (1 - 1 / images) ** pods);

export interface Model {
  readonly watches: number;
  /** Bytes that a replica reads when it starts, without the leader's workloads. */
  readonly startBytes: number;
  readonly leaderBytes: number;
  /** etcd: objects of ours, and their bytes. */
  readonly objects: number;
  readonly etcdBytes: number;
  /** Bytes a second of all replicas, if `exposure: auto` makes them follow nodes. */
  readonly nodeBytesPerSecond: number;
  readonly wave: {
    readonly reviewsPerSecond: number;
    /** Different images that are asked about. */
    readonly images: number;
    /** Tags checked: each replica checks each of its tags once. */
    readonly checks: number;
    readonly checksPerSecond: number;
    /** Writes of uses, if no image was used on the day before. */
    readonly writesPerSecond: number;
    readonly writtenPerSecond: number;
    readonly watchBytesPerSecond: number;
  };
  /** Writes a second if every image is used all day. */
  readonly usesPerSecond: number;
  readonly hub: {
    readonly images: number;
    /** GETs of manifests that the first looks take. */
    readonly firstGets: number;
    /** Hours until the leader has looked at all of them. */
    readonly hoursAhead: number;
  };
}

/** Returns the mean time after which the first of the replicas writes a use. */
function soonestReuse(replicas: number): number {
  const { least, most } = CODE.reuseDays;
  return (least + (most - least) / (replicas + 1)) * 86_400;
}

/** Computes what replicas cause. Images are run by equally many Pods: the worst case, for fewer images would be asked about again. */
export function model(cluster: ModelCluster, bytes: ObjectBytes): Model {
  const { images, namespaces, workloads, replicas, nodes, wave, hubShare } = cluster;
  const pods = wave.podsPerMinute * wave.minutes;
  const asked = distinct(images, pods);
  const checks = replicas * distinct(images, pods / replicas);
  const seconds = wave.minutes * 60;
  const written = Math.min(asked / seconds, CODE.writes.perSecond * replicas);
  const hub = images * hubShare;
  return {
    watches: replicas * CODE.watches + CODE.leaderWatches,
    startBytes: namespaces * bytes.namespace + images * bytes.imageLibc,
    leaderBytes: workloads * ASSUMED.workloadBytes,
    objects: images,
    etcdBytes: images * bytes.imageLibc,
    nodeBytesPerSecond: (replicas * nodes * ASSUMED.nodeBytes) / (ASSUMED.nodeStatusMinutes * 60),
    wave: {
      reviewsPerSecond: wave.podsPerMinute / 60 / replicas,
      images: asked,
      checks,
      checksPerSecond: checks / seconds,
      writesPerSecond: asked / seconds,
      writtenPerSecond: written,
      watchBytesPerSecond: written * bytes.imageLibc * replicas,
    },
    usesPerSecond: images / soonestReuse(replicas),
    hub: {
      images: hub,
      firstGets: hub * ASSUMED.firstLookGets,
      hoursAhead: Math.max(0, hub - CODE.hubAhead.saved) / CODE.hubAhead.hourly,
    },
  };
}

const count = (value: number): string => Math.round(value).toLocaleString('en');
const megabytes = (bytes: number): string => `${digits(bytes / 1e6)} MB`;
const perSecond = (bytes: number): string => `${digits(bytes / 1000)} KB`;

export function modelTable(cluster: ModelCluster, bytes: ObjectBytes): Table {
  const { wave, hub, ...still } = model(cluster, bytes);
  const { replicas, nodes, pods, images, hubShare, namespaces, workloads } = cluster;
  const rows: readonly (readonly [string, string])[] = [
    [`watches of ${replicas} replicas`, count(still.watches)],
    ['a start reads, of namespaces and ImageLibcs', megabytes(still.startBytes)],
    ['the leader reads besides, of workloads', megabytes(still.leaderBytes)],
    ['objects in etcd', `${count(still.objects)}, ${megabytes(still.etcdBytes)}`],
    ['nodes, all replicas, with `exposure: auto` alone', `${perSecond(still.nodeBytesPerSecond)} a second`],
    ['a wave: reviews for each replica', `${digits(wave.reviewsPerSecond)} a second`],
    ['a wave: tags that are checked', `${count(wave.checks)}, ${digits(wave.checksPerSecond)} a second`],
    [
      'a wave: uses written, if no image was used on the day before',
      `${digits(wave.writtenPerSecond)} of ${digits(wave.writesPerSecond)} a second`,
    ],
    ['uses written, if every image is used all day', `${digits(still.usesPerSecond)} a second`],
    ['a wave: events of ImageLibcs', `${perSecond(wave.watchBytesPerSecond)} a second`],
    ['Docker Hub: GETs of manifests in first looks', `${count(hub.firstGets)}; it allows ${ASSUMED.hubQuota} in 6 h`],
    ['Docker Hub: hours until all are known, with `hourly` as it is', count(hub.hoursAhead)],
    ['Docker Hub: GETs of manifests in a wave', 'none for tags that stay, even if all replicas have just started'],
  ];
  return {
    title: 'A large cluster, on paper',
    note:
      `${count(nodes)} nodes, ${count(pods)} Pods, ${count(images)} images by tag, ${count(namespaces)} namespaces, ${count(workloads)} workloads; ` +
      `${hubShare * 100} % of the images are Docker Hub's, asked without a login. In the wave ${count(cluster.wave.podsPerMinute)} Pods a minute are created for ` +
      `${cluster.wave.minutes} minutes. Measured on a real API server: an ImageLibc is ${count(bytes.imageLibc)} bytes, a namespace's metadata ${count(bytes.namespace)}. ` +
      `Assumed: ${count(ASSUMED.workloadBytes)} bytes a workload, ${count(ASSUMED.nodeBytes)} a node.`,
    columns: ['what', 'model'],
    rows,
  };
}

const FILLED = 200;

const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

interface Listed {
  readonly items: readonly unknown[];
}

const bytesEach = ({ items }: Listed): number => Buffer.byteLength(JSON.stringify(items)) / items.length;

/** Computes the model from the sizes that a real API server's objects have. */
export const largeCluster: Part = async ({ progress }) => {
  const missing = clusterMissing();
  if (missing !== undefined) {
    process.stderr.write(`!! no model: ${missing}\n`);
    return undefined;
  }
  progress('model: measuring objects');
  const cluster = await startCluster();
  try {
    const { client } = cluster;
    await installImageLibcs(client);
    await fill(client, 0, FILLED);
    const imageLibc = bytesEach(await client.request({ path: LIBCS_PATH }));
    const namespace = bytesEach(await client.request({ path: '/api/v1/namespaces', accept: METADATA }));
    const bytes = { imageLibc, namespace };
    return { tables: [modelTable(LARGE, bytes)], data: { cluster: LARGE, bytes, model: model(LARGE, bytes) } };
  } finally {
    await cluster.stop();
  }
};
