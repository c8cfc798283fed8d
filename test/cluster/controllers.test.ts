import { type ChildProcess, spawn } from 'node:child_process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createEvaluator } from '../../src/admission/evaluate.ts';
import { createTemplateCache } from '../../src/admission/template-cache.ts';
import { startAnswering } from '../support/answering-server.ts';
import { createCertificate } from '../support/certificate.ts';
import { binary, hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, type Installation, NAME, NAMESPACE } from '../support/installation.ts';
import { optionsOf, type PodObject } from '../support/pods.ts';
import { enforced, facts, policy } from '../support/policy.ts';

const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'statefulset-controller',
  'daemonset-controller',
  'job-controller',
  'cronjob-controller',
];

function controllerManager(): string | undefined {
  const path = binary('kube-controller-manager');
  if (path === undefined)
    process.stderr.write('\n!! no kube-controller-manager: Pods of controllers were not tested\n\n');
  return path;
}

const command = controllerManager();

const metadata = { labels: { app: 'shop' }, annotations: { 'libc-dns.dev/libc': 'musl' } };
const template = { metadata, spec: { containers: [{ name: 'main', image: 'registry.test/app:1' }] } };
const selector = { matchLabels: metadata.labels };
const endingTemplate = { ...template, spec: { ...template.spec, restartPolicy: 'Never' } };

/** No kubelet says that the node is ready. */
const everywhere = { ...template, spec: { ...template.spec, tolerations: [{ operator: 'Exists' }] } };

const WORKLOADS: readonly { kind: string; apiVersion: string; spec: object }[] = [
  { kind: 'Deployment', apiVersion: 'apps/v1', spec: { replicas: 2, selector, template } },
  { kind: 'StatefulSet', apiVersion: 'apps/v1', spec: { serviceName: 'shop', selector, template } },
  { kind: 'DaemonSet', apiVersion: 'apps/v1', spec: { selector, template: everywhere } },
  { kind: 'Job', apiVersion: 'batch/v1', spec: { template: endingTemplate } },
  {
    kind: 'CronJob',
    apiVersion: 'batch/v1',
    spec: { schedule: '* * * * *', jobTemplate: { spec: { template: endingTemplate } } },
  },
];

/** What the chart adds where `server.events` is on. */
const EVENT_RIGHTS = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'libc-dns-events' },
    rules: [
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
      { apiGroups: ['apps'], resources: ['replicasets', 'statefulsets', 'daemonsets'], verbs: ['get'] },
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['get'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'libc-dns-events' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'libc-dns-events' },
    subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
  },
];

interface Generated {
  readonly metadata: { readonly generateName?: string };
}

interface Recorded {
  readonly request: { readonly uid: string; readonly name?: string; readonly object: Generated };
}

const requestOf = (body: string): Recorded['request'] => (JSON.parse(body) as Recorded).request;
const uidOf = (body: string): string => requestOf(body).uid;
const nameOf = (body: string): string => requestOf(body).name ?? requestOf(body).object.metadata.generateName ?? '';

/** A webhook that keeps what it is sent and allows it. */
async function record() {
  const tls = await createCertificate();
  const server = await startAnswering(
    ({ body }) => ({
      body: {
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: { uid: uidOf(body), allowed: true },
      },
    }),
    { tls },
  );
  return { server, clientConfig: { url: server.url, caBundle: Buffer.from(tls.cert).toString('base64') } };
}

describe.runIf(hasCluster() && command !== undefined)('Pods that controllers make', () => {
  let cluster: TestCluster;
  let installation: Installation;
  let manager: ChildProcess;

  beforeAll(async () => {
    cluster = await startCluster();
    installation = await install(cluster, { settings: { DETECTION_REGISTRY_ENABLED: 'false', SERVER_EVENTS: 'true' } });
    await cluster.apply(...EVENT_RIGHTS);
    await cluster.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' }, status: { conditions: [] } });
    const flags = [
      `--kubeconfig=${cluster.kubeconfig}`,
      '--leader-elect=false',
      `--controllers=${CONTROLLERS.join(',')}`,
      '--secure-port=0',
    ];
    manager = spawn(command ?? '', flags, { stdio: 'ignore' });
  });
  afterAll(async () => {
    manager?.kill('SIGKILL');
    await installation?.stop();
    await cluster?.stop();
  });

  const podsOf = async (namespace: string): Promise<PodObject[]> =>
    (await cluster.client.request<{ items: PodObject[] }>({ path: `/api/v1/namespaces/${namespace}/pods` })).items;

  it.each(WORKLOADS)(
    'a $kind: its Pods are patched, its template is not, an Event tells',
    async ({ kind, apiVersion, spec }) => {
      const namespace = ownName(kind.toLowerCase());
      await cluster.createNamespace(namespace, { 'libc-dns.dev/mode': 'enforce' });
      const workload = { apiVersion, kind, metadata: { name: 'shop', namespace }, spec };
      const apply = (): Promise<string> =>
        cluster.kubectl(['apply', '--server-side', '--field-manager=gitops', '-f', '-'], JSON.stringify(workload));
      await apply();
      const options = async (): Promise<string[]> => (await podsOf(namespace)).map((pod) => optionsOf(pod).join(' '));
      await expect.poll(options, { timeout: 90_000 }).toContain('timeout:5 attempts:10');
      expect(new Set(await options())).toEqual(new Set(['timeout:5 attempts:10']));

      const events = (): Promise<string> =>
        cluster.kubectl([
          'get',
          'events',
          '-n',
          namespace,
          '-o',
          'jsonpath={range .items[*]}{.involvedObject.kind}: {.reason} {.message}{"\\n"}{end}',
        ]);
      await expect
        .poll(events, { timeout: 20_000 })
        .toMatch(new RegExp(`^${kind}: \\w+ applied retry to a Pod: musl ignores`, 'm'));

      const before = (await podsOf(namespace)).map(({ metadata: { uid } }) => uid);
      await apply();
      const stored = JSON.parse(await cluster.kubectl(['get', kind, 'shop', '-n', namespace, '-o', 'json'])) as object;
      expect(JSON.stringify(stored)).not.toContain('dnsConfig');
      const uids = (await podsOf(namespace)).map(({ metadata: { uid } }) => uid);
      expect(uids).toEqual(expect.arrayContaining(before));
    },
  );

  let recordings = 0;

  /** The reviews of the Pods that a workload makes, as its webhook is sent them. */
  async function reviewsOf(
    workload: { kind: string; apiVersion?: string; spec: object },
    count: number,
  ): Promise<string[]> {
    recordings += 1;
    const namespace = ownName(`recorded-${recordings}`);
    await cluster.createNamespace(namespace);
    const { server, clientConfig } = await record();
    await cluster.apply({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: namespace },
      webhooks: [
        {
          name: 'recorder.example.com',
          clientConfig,
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
        },
      ],
    });
    const object = { apiVersion: 'apps/v1', ...workload, metadata: { name: 'shop', namespace } };
    await cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object));
    await expect.poll(() => server.asked.length, { timeout: 90_000 }).toBe(count);
    await server.close();
    return server.asked.map(({ body }) => body);
  }

  /** How many templates the Pods of these reviews make, once each was seen. */
  function templatesOf(reviews: readonly string[]): number {
    const verdicts = { platform: { os: 'linux', architecture: 'amd64' } };
    const cache = createTemplateCache(createEvaluator({ config: policy(), cluster: () => facts, verdicts }));
    for (const body of [...reviews, ...reviews]) cache.read(requestOf(body).object, enforced());
    return cache.size().entries;
  }

  it('a ReplicaSet: its Pods are of one template', async () => {
    const reviews = await reviewsOf({ kind: 'Deployment', spec: { replicas: 5, selector, template } }, 5);
    expect(new Set(reviews.map(uidOf)).size).toBe(5);
    expect(templatesOf(reviews)).toBe(1);
  });

  it('a StatefulSet with claims: its Pods are of one template', async () => {
    const volumeClaimTemplates = ['data', 'log'].map((name) => ({
      metadata: { name },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    }));
    const parallel = { serviceName: 'shop', podManagementPolicy: 'Parallel', replicas: 6 };
    const spec = { ...parallel, selector, template, volumeClaimTemplates };
    const reviews = await reviewsOf({ kind: 'StatefulSet', spec }, 6);
    expect(new Set(reviews.map(nameOf)).size).toBe(6);
    expect(templatesOf(reviews)).toBe(1);
  });

  it('an Indexed Job: its Pods are of one template', async () => {
    const spec = { completionMode: 'Indexed', completions: 6, parallelism: 6, template: endingTemplate };
    const reviews = await reviewsOf({ kind: 'Job', apiVersion: 'batch/v1', spec }, 6);
    expect(reviews.map(nameOf).toSorted()).toEqual([0, 1, 2, 3, 4, 5].map((index) => `shop-${index}-`));
    expect(templatesOf(reviews)).toBe(1);
  });

  it('a DaemonSet: its Pods are of one template, whichever node they are for', async () => {
    const nodes = ['node-1', 'node-2', 'node-3', 'node-4'];
    for (const name of nodes.slice(1))
      await cluster.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name }, status: { conditions: [] } });
    const spec = { selector, template: everywhere };
    const reviews = await reviewsOf({ kind: 'DaemonSet', spec }, nodes.length);
    for (const node of nodes) expect(reviews.filter((body) => body.includes(`"values":["${node}"]`))).toHaveLength(1);
    expect(templatesOf(reviews)).toBe(1);
  });
});
