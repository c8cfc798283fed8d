import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { CLUSTER_DNS } from '../cluster/place.ts';
import { ENFORCE } from '../apps.ts';
import { freshNamespace } from '../namespaces.ts';
import { asked } from '../questions.ts';
import { expectThat, type Scenario } from '../scenario.ts';

const NAMESPACE = 'guarded';
const CACHE = 'libc-dns-cache';

const LIBCS = ['musl', 'glibc'] as const;
type Libc = (typeof LIBCS)[number];

/** Look-ups of one name. */
const LOOK_UPS = 5;

/** How often the cluster DNS is asked then: once by the cache, and each time by musl, which asks all nameservers at once. */
const ASKED: Readonly<Record<Libc, number>> = { musl: LOOK_UPS + 1, glibc: 1 };

const namespaced = (apiVersion: string, kind: string, name: string, more: object): object => ({
  apiVersion,
  kind,
  metadata: { name, namespace: NAMESPACE },
  ...more,
});

/** What a careful team's namespace asks of each Pod: requests and limits for all containers, and a budget. */
const guards: readonly object[] = [
  namespaced('v1', 'ResourceQuota', 'quota', {
    spec: { hard: { 'requests.cpu': '1', 'requests.memory': '1Gi', 'limits.cpu': '1', 'limits.memory': '1Gi' } },
  }),
  namespaced('v1', 'LimitRange', 'limits', {
    spec: {
      limits: [
        {
          type: 'Container',
          default: { cpu: '50m', memory: '32Mi' },
          min: { cpu: '10m', memory: '16Mi' },
          max: { cpu: '200m', memory: '128Mi' },
        },
      ],
    },
  }),
];

const template = (libc: Libc, more: object, args: readonly string[] = []): object => ({
  metadata: { labels: { app: libc }, annotations: { 'libc-dns.dev/remedy': 'sidecar' } },
  spec: {
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'app',
        image: `registry.e2e.test/apps/${libc}:1`,
        args,
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
    ...more,
  },
});

const deployments = LIBCS.map((libc) =>
  namespaced('apps/v1', 'Deployment', libc, {
    spec: { selector: { matchLabels: { app: libc } }, template: template(libc, {}) },
  }),
);
const jobs = LIBCS.map((libc) =>
  namespaced('batch/v1', 'Job', `job-${libc}`, {
    spec: {
      backoffLimit: 0,
      template: template(libc, { restartPolicy: 'Never' }, ['lookup', 'kubernetes.default.svc.cluster.local']),
    },
  }),
);

const inNamespace = (cluster: Cluster, ...args: readonly string[]): Promise<string> =>
  cluster.kubectl('-n', NAMESPACE, ...args);

const probe = (cluster: Cluster, libc: Libc, ...words: readonly string[]): Promise<string> =>
  inNamespace(cluster, 'exec', `deployment/${libc}`, '-c', 'app', '--', '/probe', ...words);

/** Resolves a name, and returns the milliseconds that it took. Rejects if it has no address. */
async function lookUp(cluster: Cluster, libc: Libc, name: string): Promise<number> {
  return Number((await probe(cluster, libc, 'lookup', name)).trim().split(' ').at(-1));
}

/** Looks a new name up several times. Returns how often the cluster DNS was asked for it, once its log tells no more. */
async function askedFor(cluster: Cluster, libc: Libc, label: string): Promise<number> {
  const name = `${label}-${libc}-${Date.now().toString(36)}.www.example.com.`;
  for (let number = 0; number < LOOK_UPS; number += 1) await lookUp(cluster, libc, name);
  let seen = 0;
  return await until(`${name} in the log of the cluster DNS`, async () => {
    const before = seen;
    seen = (await asked(cluster, [name])).flat().length;
    await sleep(1000);
    return seen > 0 && seen === before ? seen : undefined;
  });
}

interface CacheStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID?: string;
}

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly phase: string;
    readonly initContainerStatuses?: readonly CacheStatus[];
  };
}

interface Quota {
  readonly status: { readonly used: Readonly<Record<string, string>> };
}

async function cacheOf(cluster: Cluster, libc: Libc): Promise<CacheStatus> {
  const { items } = await cluster.get<{ items: readonly Pod[] }>(
    'pods',
    '-n',
    NAMESPACE,
    '-l',
    `app=${libc},!job-name`,
  );
  const found = items[0]?.status.initContainerStatuses?.find(({ name }) => name === CACHE);
  if (found === undefined) throw new Error(`${libc}: no cache in the Pod`);
  return found;
}

/** Kills the cache's process from its node. */
async function killCache(cluster: Cluster, libc: Libc): Promise<void> {
  const { containerID = '' } = await cacheOf(cluster, libc);
  const id = containerID.slice('containerd://'.length);
  const ofContainer = (file: string): boolean => {
    try {
      return id !== '' && readFileSync(file, 'utf8').includes(id);
    } catch {
      return false;
    }
  };
  const pids = globSync('/proc/[0-9]*/cgroup')
    .filter(ofContainer)
    .map((file) => Number(file.split('/')[2]));
  expectThat(pids.length > 0, `${libc}: no process of the cache ${id}`);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
}

const isBack = async (cluster: Cluster, libc: Libc, restarts: number): Promise<true | undefined> => {
  const { ready, restartCount } = await cacheOf(cluster, libc);
  return ready && restartCount >= restarts ? true : undefined;
};

/**
 * Kills the cache twice, so that the kubelet waits before it starts it again, and looks names up meanwhile. Returns the milliseconds of
 * the slowest look-up.
 */
async function withoutCache(cluster: Cluster, libc: Libc): Promise<number> {
  await killCache(cluster, libc);
  await until(`${libc}: the cache, started again`, () => isBack(cluster, libc, 1));
  await killCache(cluster, libc);
  const times: number[] = [];
  while ((await isBack(cluster, libc, 2)) === undefined) {
    times.push(await lookUp(cluster, libc, 'www.example.com'));
    expectThat(times.length < 200, `${libc}: the cache was not started again`);
  }
  expectThat(times.length > 0, `${libc}: no name was looked up while the cache was gone`);
  return Math.max(...times);
}

async function tryLibc(cluster: Cluster, libc: Libc): Promise<string> {
  const file = await probe(cluster, libc, 'cat', '/etc/resolv.conf');
  const servers = file.split('\n').filter((line) => line.startsWith('nameserver'));
  expectThat(servers.join() === `nameserver 127.0.0.1,nameserver ${CLUSTER_DNS}`, `${libc}: ${file}`);
  for (const name of ['kubernetes.default', 'www.example.com', 'intranet']) await lookUp(cluster, libc, name);
  const before = await askedFor(cluster, libc, 'before');
  const slowest = await withoutCache(cluster, libc);
  const after = await askedFor(cluster, libc, 'after');
  const seen = `${libc}: ${LOOK_UPS} look-ups were ${before} at the cluster DNS, ${after} after the cache was killed twice, and took at most ${Math.round(slowest)} ms meanwhile`;
  expectThat(before === ASKED[libc] && after === ASKED[libc] && slowest < 2000, seen);
  return seen;
}

async function jobsEnd(cluster: Cluster): Promise<void> {
  await cluster.apply(...jobs);
  const names = LIBCS.map((libc) => `job/job-${libc}`);
  await inNamespace(cluster, 'wait', '--for=condition=complete', ...names, '--timeout=90s');
  const { items } = await cluster.get<{ items: readonly Pod[] }>('pods', '-n', NAMESPACE, '-l', 'job-name');
  const cached = items.filter(({ status }) => status.initContainerStatuses?.some(({ name }) => name === CACHE));
  const ended = cached.filter(({ status }) => status.phase === 'Succeeded');
  expectThat(ended.length === LIBCS.length, `Jobs: ${JSON.stringify(items.map(({ status }) => status))}`);
}

/** The cache in the Pod, where every rule holds that a namespace can have. */
export const sidecar: Scenario = {
  id: 'sidecar',
  name: 'the cache in the Pod, under Pod Security restricted, a ResourceQuota and a LimitRange; killed under running Pods',
  async run(cluster) {
    await freshNamespace(cluster, NAMESPACE, { ...ENFORCE, 'pod-security.kubernetes.io/enforce': 'restricted' });
    await cluster.apply(...guards);
    await until('the quota is counted', async () => {
      const quota = await inNamespace(cluster, 'get', 'resourcequota', 'quota', '-o', 'jsonpath={.status.used}');
      return quota === '' ? undefined : true;
    });
    await cluster.apply(...deployments);
    for (const libc of LIBCS) await inNamespace(cluster, 'rollout', 'status', `deployment/${libc}`, '--timeout=90s');
    const seen: string[] = [];
    for (const libc of LIBCS) seen.push(await tryLibc(cluster, libc));
    await jobsEnd(cluster);
    const quota = await cluster.get<Quota>('-n', NAMESPACE, 'resourcequota', 'quota');
    const used = Object.entries(quota.status.used).map(([name, amount]) => `${name} ${amount}`);
    await cluster.kubectl('delete', 'namespace', NAMESPACE, '--wait=false');
    return `${seen.join('; ')}; ${LIBCS.length} Jobs ended; the quota counts ${used.join(', ')}`;
  },
};
