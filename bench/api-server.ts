import { DECISION_ANNOTATION, encodeDecision } from '../src/policy/annotations.ts';
import { clusterMissing, startCluster, type TestCluster } from '../test/support/cluster.ts';
import { createPod } from '../test/support/pods.ts';
import { closedLoop, openLoop } from './load.ts';
import type { Bench, Part } from './part.ts';
import { apiServerTime, installPolicies } from './policy.ts';
import { benchRegistry } from './registry.ts';
import { digits, spread, type Table } from './report.ts';
import { startFloor, startOurs, type BenchServer, type Keys } from './servers.ts';
import { figure, percentile } from './statistics.ts';

/** Concurrent clients, as in a busy cluster: `kubectl`, controllers, CI. */
const LANES = 8;

const KINDS = ['none', 'floor', 'patch', 'ours'] as const;

/** Our patch for a glibc image. Any patch costs the API server time: it applies it, decodes the Pod again and stores more. */
const PATCH = JSON.stringify([
  { op: 'add', path: '/spec/dnsConfig', value: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] } },
  {
    op: 'add',
    path: '/metadata/annotations',
    value: {
      [DECISION_ANNOTATION]: encodeDecision('OptionsAdded', ['options'], [{ name: 'main', resolver: 'glibc' }]),
    },
  },
]);

/** Registers a server for the Pods of one namespace. */
function registration({ name, port, path }: BenchServer, { ca }: Keys): object {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: `${name}.bench.libc-dns.dev`,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        clientConfig: {
          url: `https://127.0.0.1:${port}${path}`,
          caBundle: Buffer.from(ca).toString('base64'),
        },
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': `bench-${name}` } },
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
      },
    ],
  };
}

interface Created {
  readonly kind: string;
  readonly perSecond: number[];
  readonly p50: number[];
  readonly p99: number[];
  /** Milliseconds of the API server's processor time for each Pod. */
  readonly processor: number[];
  /** Milliseconds that policies took in the API server, for each check; empty where there is none. */
  readonly policy: number[];
}

async function createOne(cluster: TestCluster, kind: string, image: string): Promise<void> {
  const name = `pod-${Math.random().toString(36).slice(2)}`;
  await createPod(cluster, `bench-${kind}`, { name, annotations: {}, spec: { containers: [{ name: 'main', image }] } });
}

async function createPods(cluster: TestCluster, kind: string, image: string, seconds: number): Promise<number[]> {
  const latencies: number[] = [];
  await closedLoop(LANES, seconds, async () => {
    const began = performance.now();
    await createOne(cluster, kind, image);
    latencies.push(performance.now() - began);
  });
  return latencies;
}

/** Pods a second, as clusters create them, and the seconds for which they are created. */
const RATES = [
  [1, 10],
  [20, 5],
  [100, 4],
] as const;

/** Creates Pods at steady rates. A Pod is timed from when it was due. */
async function atRates(
  { seconds, progress, rounds }: Bench,
  cluster: TestCluster,
  kinds: readonly string[],
  image: string,
): Promise<Table> {
  const rows: string[][] = [];
  for (const [rate, duration] of RATES) {
    const latencies = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
    for (let round = 0; round < Math.min(rounds, 3); round += 1) {
      progress(`API server, ${rate} Pods a second, round ${round + 1}`);
      for (const [kind, all] of latencies) {
        const seen = await openLoop(rate, Math.min(duration, 10 * seconds), () => createOne(cluster, kind, image));
        if (seen.failed > 0) throw new Error(`${kind}: ${seen.failed} Pods were not created`);
        all.push(...seen.latencies);
      }
    }
    const none = percentile(latencies.get('none') ?? [], 0.5);
    for (const [kind, all] of latencies) {
      const p50 = percentile(all, 0.5);
      rows.push([String(rate), kind, digits(p50), digits(percentile(all, 0.99)), digits(p50 - none)]);
    }
  }
  return {
    title: 'Pods at a steady rate through a real API server',
    note: 'Milliseconds from when a Pod was due. At 1 a second there are 30 Pods: their p99 is the slowest one.',
    columns: ['Pods/s', 'webhook', 'p50', 'p99', 'added to p50'],
    rows,
  };
}

async function measure(
  { rounds, seconds, progress }: Bench,
  cluster: TestCluster,
  kinds: readonly string[],
  image: string,
): Promise<Created[]> {
  const results = kinds.map((kind): Created => ({ kind, perSecond: [], p50: [], p99: [], processor: [], policy: [] }));
  for (let round = -1; round < rounds; round += 1) {
    progress(`API server, round ${round + 1}`);
    for (const { kind, perSecond, p50, p99, processor, policy } of results) {
      const before = await apiServerTime(cluster);
      const latencies = await createPods(cluster, kind, image, seconds);
      // The first round is the warm-up.
      if (round === -1) continue;
      perSecond.push(latencies.length / seconds);
      p50.push(percentile(latencies, 0.5));
      p99.push(percentile(latencies, 0.99));
      const after = await apiServerTime(cluster);
      processor.push((1000 * (after.processor - before.processor)) / latencies.length);
      const checks = after.policies.checks - before.policies.checks;
      if (checks > 0) policy.push((1000 * (after.policies.seconds - before.policies.seconds)) / checks);
    }
  }
  return results;
}

/** Creates Pods through a real API server: with no webhook, one that does nothing, one that returns a fixed patch, and ours. */
export const apiServer: Part = async (bench) => {
  const missing = clusterMissing();
  if (missing !== undefined) {
    process.stderr.write(`!! the API server was not measured: ${missing}\n`);
    return undefined;
  }
  const { keys, main, peers } = bench;
  const [cluster, registry] = [await startCluster(), await benchRegistry()];
  const settings = { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host };
  const servers = [
    await startFloor(keys),
    await startFloor(keys, { name: 'patch', patch: PATCH }),
    await startOurs(keys, { main, settings, flags: ['--kubeconfig', cluster.kubeconfig] }),
  ];
  try {
    for (const { start } of peers) servers.push(await start(keys));
    const kinds = [...KINDS, ...peers.map(({ name }) => name)];
    for (const kind of kinds) await cluster.createNamespace(`bench-${kind}`);
    await cluster.apply(...servers.map((server) => registration(server, keys)));
    const image = registry.stand('pod');
    const policies = await installPolicies(cluster, image);
    const results = await measure(bench, cluster, [...kinds, ...policies], image);
    const steady = [...kinds.filter((kind) => kind !== 'floor' && kind !== 'patch'), ...policies];
    const rates = await atRates(bench, cluster, steady, image);
    const none = figure(results[0]?.p50 ?? []).median;
    const rows = results.map(({ kind, perSecond, p50, p99, processor, policy }) => [
      kind,
      spread(figure(perSecond)),
      spread(figure(p50)),
      spread(figure(p99)),
      digits(figure(p50).median - none),
      spread(figure(processor)),
      policy.length === 0 ? '' : spread(figure(policy)),
    ]);
    const table = {
      title: 'Pods created through a real API server',
      note: `${LANES} at once; milliseconds as the client sees them. API server, etcd, webhooks and client share the processors; "processor" is the API server's own time for a Pod, in milliseconds, "policy itself" what its histogram says of a check. "patch": the floor with a fixed patch like ours; "pepr": Pepr's controller with one. "policy-5000": no webhook, and the API server's own policy, which knows 5,000 images of the namespace.`,
      columns: ['webhook', 'Pods/s', 'p50', 'p99', 'added to p50', 'processor', 'policy itself'],
      rows,
    };
    return { tables: [table, rates], data: { saturated: results, rates: rates.rows } };
  } finally {
    for (const server of servers) await server.stop();
    await cluster.stop();
    await registry.close();
  }
};
