import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { parseAllDocuments } from 'yaml';

import type { AuditReport } from '../../../../src/audit/report/report.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import { CLUSTER_DNS, NODES } from '../../cluster/place.ts';
import { until } from '../../cluster/daemons.ts';
import { flood } from '../../flood.ts';
import { RATE } from '../../meanwhile.ts';
import { freshNamespace } from '../../namespaces.ts';
import { expectThat, type Scenario } from '../../scenario.ts';
import { NAMESPACE, RELEASE } from '../../installation.ts';
import { setTimeout as sleep } from 'node:timers/promises';

const DOCS = fileURLToPath(new URL('../../../../docs/audit.md', import.meta.url));
const OWN_IMAGE = 'ghcr.io/libc-dns/libc-dns-webhook:0.1.0';
const AUDITOR = 'libc-dns-audit';

/** Returns the ClusterRole that docs/audit.md gives. */
function documentedRole(): object {
  const [, yaml = ''] = /```yaml\n(apiVersion: rbac[^`]*)```/.exec(readFileSync(DOCS, 'utf8')) ?? [];
  return parseAllDocuments(yaml)[0]?.toJS() as object;
}

/** Runs the command line in a Pod, under a service account, and returns its standard output. */
async function inPod(cluster: Cluster, name: string, args: readonly string[]): Promise<string> {
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: AUDITOR },
    spec: {
      restartPolicy: 'Never',
      serviceAccountName: AUDITOR,
      containers: [{ name: 'run', image: OWN_IMAGE, args }],
    },
  });
  const done = '--for=jsonpath={.status.containerStatuses[0].state.terminated}';
  await cluster.kubectl('-n', AUDITOR, 'wait', done, `pod/${name}`, '--timeout=90s');
  return await cluster.kubectl('-n', AUDITOR, 'logs', name);
}

/** What a command has printed before it failed. */
const outputOf = ({ message, cause }: Error): string => `${message}\n${(cause as { stdout?: string }).stdout ?? ''}`;

interface Summary {
  readonly pods?: readonly {
    readonly podRef: { readonly namespace: string; readonly name: string };
    readonly memory?: { readonly workingSetBytes?: number };
    readonly cpu?: { readonly usageCoreNanoSeconds?: number };
  }[];
}

interface Use {
  /** Of the replica that has most. */
  readonly megabytes: number;
  /** Of all replicas together. */
  readonly cpuMs: number;
}

/** What the kubelets report of the replicas. */
async function useOf(cluster: Cluster): Promise<Use> {
  const all = await Promise.all(
    NODES.map(
      async ({ name }) =>
        JSON.parse(await cluster.kubectl('get', '--raw', `/api/v1/nodes/${name}/proxy/stats/summary`)) as Summary,
    ),
  );
  const replicas = all
    .flatMap(({ pods }) => pods ?? [])
    .filter(({ podRef }) => podRef.namespace === NAMESPACE && podRef.name.startsWith(RELEASE));
  // A kubelet takes ten seconds to notice what has come or gone.
  if (replicas.length !== 3) throw new Error(`the kubelets report ${replicas.length} replicas`);
  return {
    megabytes: Math.max(...replicas.map(({ memory }) => memory?.workingSetBytes ?? 0)) / 1_000_000,
    cpuMs: replicas.reduce((sum, { cpu }) => sum + (cpu?.usageCoreNanoSeconds ?? 0), 0) / 1_000_000,
  };
}

const SECONDS = 15;

async function load(cluster: Cluster): Promise<string> {
  const before = await until('the use of three replicas', () => useOf(cluster));
  const { pods } = await flood(cluster.order, RATE, sleep(SECONDS * 1000));
  // The kubelet looks every ten seconds.
  await sleep(11_000);
  const after = await useOf(cluster);
  await cluster.kubectl(
    '-n',
    'shop',
    'delete',
    'pods',
    '-l',
    'flood=yes',
    '--wait=false',
    '--grace-period=0',
    '--force',
  );
  const each = ((after.cpuMs - before.cpuMs) / pods).toFixed(1);
  return `a replica has at most ${after.megabytes.toFixed(0)} MB, and a Pod costs the three ${each} ms of CPU (${pods} Pods)`;
}

/** The reports on a cluster, by the people who may read it. */
export const views: Scenario = {
  id: 'views',
  name: 'audit and doctor from outside, and in a Pod with the documented rights; memory and CPU as the kubelets report them',
  async run(cluster) {
    await freshNamespace(cluster, AUDITOR);
    await cluster.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: AUDITOR, namespace: AUDITOR } },
      documentedRole(),
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: AUDITOR },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: AUDITOR },
        subjects: [{ kind: 'ServiceAccount', name: AUDITOR, namespace: AUDITOR }],
      },
    );
    const outside = JSON.parse(await cluster.libcDns(['audit', '-o', 'json'])) as AuditReport;
    const inside = JSON.parse(await inPod(cluster, 'audit', ['audit', '-o', 'json', '--offline'])) as AuditReport;
    for (const [where, { summary, gaps, cluster: seen }] of Object.entries({ outside, inside })) {
      const told = `${where}: ${summary.pods} Pods, DNS ${seen.dns.value}, gaps: ${gaps.map(({ what }) => what).join(', ')}`;
      expectThat(summary.podsPatched >= 5 && seen.dns.value === CLUSTER_DNS, told);
    }
    expectThat(inside.gaps.length === 0, `with the documented rights: ${JSON.stringify(inside.gaps)}`);
    expectThat(inside.cluster.dnsOverTcp === 'answered', `inside: DNS over TCP ${inside.cluster.dnsOverTcp}`);
    expectThat(
      inside.cluster.nodeSearches.value === 'corp.example',
      `inside: searches ${inside.cluster.nodeSearches.value}`,
    );
    const doctor = await cluster.libcDns(['doctor', '--check', 'webhook']).catch(outputOf);
    const exec = ['-n', NAMESPACE, 'exec', `deploy/${RELEASE}`, '--', '/nodejs/bin/node', 'main.js', 'doctor'] as const;
    const own = await cluster.kubectl(
      ...exec,
      '--config',
      '/etc/libc-dns/config.yaml',
      '--check',
      'dns,trust,certificates',
    );
    expectThat(!/✗|checks failed/.test(doctor + own), `${doctor}\n${own}`);
    await cluster.kubectl('delete', 'namespace', AUDITOR, '--wait=false');
    const numbers = await load(cluster);
    return `audit: ${outside.summary.pods} Pods, ${outside.summary.podsPatched} patched, ${outside.summary.unreadableImages} images unread; in the Pod no gap, DNS over TCP and the nodes' searches known; doctor: no failure; ${numbers}`;
  },
};
