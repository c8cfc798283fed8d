import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createNamespaces } from '../../src/cluster/namespaces.ts';
import { createPullSecrets } from '../../src/cluster/pull-secrets.ts';
import type { ImageLibcStore } from '../../src/image-libc/store.ts';
import { inspectImage } from '../../src/inspection/inspect.ts';
import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { createLeader } from '../../src/kubernetes/leader.ts';
import { resourcePath } from '../../src/kubernetes/objects.ts';
import { MODE_LABEL } from '../../src/policy/scope.ts';
import { parseDockerConfig, parseLegacyDockerConfig } from '../../src/registry/auth/docker-config.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createReporter, silentReporter } from '../../src/telemetry/reporter.ts';
import { createWarmUp, type WarmUp, type WarmUpOptions } from '../../src/warm-up/warm-up.ts';
import { WORKLOAD_KINDS } from '../../src/warm-up/workload-watch.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { installImageLibcs, LIBCS_PATH, openStore } from '../support/image-libc.ts';
import { localDetector } from '../support/local-detector.ts';
import { layer } from '../support/layer-builder.ts';
import { facts, policy } from '../support/policy.ts';
import { type RecordedLine, recordingReporter } from '../support/recording-reporter.ts';
import { amd64, testClient } from '../support/registry-harness.ts';
import { type RegistryServer, type RegistryServerOptions, startRegistry } from '../support/registry-server.ts';

const patience = { timeout: 30_000, interval: 50 };

const appImage = (id: number) =>
  image({
    layers: [
      layer(
        [
          {
            path: 'bin/app',
            mode: 0o755,
            content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1', text: `app ${id}` }),
          },
        ],
        'gzip',
      ),
    ],
    config: { entrypoint: ['/bin/app'] },
  });

const podTemplate = (reference: string, spec: object = {}) => ({
  metadata: { labels: { app: 'x' } },
  spec: { containers: [{ name: 'c', image: reference }], ...spec },
});

const selector = { matchLabels: { app: 'x' } };

const deployment = (namespace: string, name: string, reference: string, spec: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: { selector, template: podTemplate(reference, spec) },
});

const UNWATCHED = /^workloads of kind (.+) cannot be watched: their images are not looked up ahead$/;

/** What the log says of an image or a kind of workloads. */
function toldIn({ message, fields }: RecordedLine): string {
  const { image: reference, from, failure, kind, code } = fields as Record<string, string>;
  if (message === 'looked up ahead') return `${reference} ${failure ?? from}`;
  if (message === 'the API server has no such workloads (yet)') return `${kind} not-found`;
  const [, unwatched] = UNWATCHED.exec(message) ?? [];
  return unwatched === undefined ? message : `${unwatched} ${code}`;
}

interface Replica {
  readonly warmUp: WarmUp;
  readonly events: () => string[];
}

describe.runIf(hasCluster())('warm-up on a real API server', () => {
  let cluster: TestCluster;
  const places: string[] = [];
  const closers: (() => unknown)[] = [];

  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterEach(async () => {
    for (const close of closers.splice(0).toReversed()) await close();
    const kinds = WORKLOAD_KINDS.flatMap((kind) => places.map((name) => resourcePath(kind, undefined, name)));
    await Promise.all(kinds.map((path) => cluster.client.request({ method: 'DELETE', path })));
  });
  afterAll(async () => await cluster?.stop());

  async function place(mode?: string): Promise<string> {
    const name = ownName(`warm-${places.length}`);
    places.push(name);
    await cluster.createNamespace(name, mode === undefined ? {} : { [MODE_LABEL]: mode });
    return name;
  }

  async function registryWith(options: RegistryServerOptions = {}): Promise<RegistryServer> {
    const registry = await startRegistry(options);
    closers.push(registry.close);
    return registry;
  }

  /** All that one replica of the webhook has for this. */
  function replica(
    registry: RegistryServer,
    { client = cluster.client, store, ...more }: Partial<WarmUpOptions> & { store?: ImageLibcStore } = {},
  ): Replica {
    const registries = testClient({ insecure: [registry.host] });
    const detector = localDetector({
      sources: registries,
      inspect: inspectImage,
      entries: 1000,
      tagTtlMs: 600_000,
      failureTtlMs: 60_000,
      clock: systemClock,
      ...(store && { store }),
    });
    const namespaces = createNamespaces({ client, clock: systemClock });
    const { reporter, lines } = recordingReporter();
    const warmUp = createWarmUp({
      client,
      namespaces: { peek: (name) => namespaces.peek(name), ready: namespaces.ready },
      config: policy(),
      cluster: () => facts,
      platform: amd64,
      detector,
      lookups: () => detector.stats().underWay + detector.stats().queued,
      limits: { perSecond: 100, burst: 100 },
      clock: systemClock,
      reporter,
      backoff: { first: 100, most: 500 },
      ...more,
    });
    namespaces.onChange((name) => warmUp.namespaceChanged(name));
    closers.push(
      () => registries.close(),
      () => detector.close(),
      () => namespaces.close(),
      () => warmUp.stop(),
    );
    return { warmUp, events: () => lines.map(toldIn) };
  }

  const manifests = ({ requests }: RegistryServer): string[] =>
    requests.map(({ path }) => path).filter((path) => path.includes('/manifests/'));

  it('knows the images of each kind of workload before there is any Pod', async () => {
    const registry = await registryWith();
    const namespace = await place('enforce');
    const put = (name: string): string => registry.put(`team/${name}:v1`, appImage(name.length));
    const metadata = (name: string) => ({ name, namespace });
    const template = (name: string) => podTemplate(put(name));
    const job = (name: string) => podTemplate(put(name), { restartPolicy: 'Never' });
    const schedule = '0 3 * * *';
    await cluster.apply(
      deployment(namespace, 'a', put('deployment')),
      {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: metadata('a'),
        spec: { selector, serviceName: 'a', template: template('statefulset') },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: metadata('a'),
        spec: { selector, template: template('daemonset') },
      },
      { apiVersion: 'batch/v1', kind: 'Job', metadata: metadata('a'), spec: { template: job('job') } },
      {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata: metadata('a'),
        spec: { schedule, jobTemplate: { spec: { template: job('cronjob') } } },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: metadata('a'),
        spec: { selector, template: template('replicaset') },
      },
    );
    const { warmUp, events } = replica(registry);
    warmUp.start();
    const expected = ['cronjob', 'daemonset', 'deployment', 'job', 'statefulset'];
    await expect
      .poll(() => events().toSorted(), patience)
      .toEqual(expected.map((name) => `${registry.host}/team/${name}:v1 registry`));
    expect((await cluster.kubectl(['get', 'pods', '-A', '-o', 'name'])).trim()).toBe('');
  });

  it('leaves Jobs alone that are over', async () => {
    const registry = await registryWith();
    const namespace = await place('enforce');
    const spec = (name: string) => ({
      template: podTemplate(registry.put(`team/${name}:v1`, appImage(1)), { restartPolicy: 'Never' }),
    });
    for (const name of ['done', 'failed', 'new']) {
      await cluster.apply({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace }, spec: spec(name) });
    }
    const at = '2026-01-01T00:00:00Z';
    const common = { startTime: at, uncountedTerminatedPods: {}, ready: 0 };
    const isTrue = (type: string) => ({ type, status: 'True', lastTransitionTime: at });
    const statuses = {
      done: {
        ...common,
        succeeded: 1,
        completionTime: at,
        conditions: [isTrue('SuccessCriteriaMet'), isTrue('Complete')],
      },
      failed: { ...common, failed: 1, conditions: [isTrue('FailureTarget'), isTrue('Failed')] },
    };
    for (const [name, status] of Object.entries(statuses)) {
      const path = `/apis/batch/v1/namespaces/${namespace}/jobs/${name}/status`;
      await cluster.client.request({
        method: 'PATCH',
        path,
        body: { status },
        contentType: 'application/merge-patch+json',
      });
    }
    const { warmUp, events } = replica(registry);
    warmUp.start();
    await expect.poll(events, patience).toEqual([`${registry.host}/team/new:v1 registry`]);
    await expect.poll(() => warmUp.stats()?.unsynced, patience).toBe(0);
    expect([warmUp.stats()?.workloads, manifests(registry).length]).toEqual([1, 1]);
  });

  it('leaves namespaces alone that are not in scope, until their label is set', async () => {
    const registry = await registryWith();
    const [inside, outside] = [await place('audit'), await place()];
    const { warmUp, events } = replica(registry);
    warmUp.start();
    await cluster.apply(
      deployment(outside, 'a', registry.put('team/outside:v1', appImage(1))),
      deployment(inside, 'a', registry.put('team/inside:v1', appImage(2))),
    );
    await expect.poll(() => warmUp.stats()?.workloads, patience).toBe(2);
    await expect.poll(events, patience).toEqual([`${registry.host}/team/inside:v1 registry`]);
    expect(manifests(registry).length).toBe(1);
    await cluster.kubectl(['label', 'namespace', outside, `${MODE_LABEL}=enforce`]);
    await expect.poll(() => events().at(-1), patience).toBe(`${registry.host}/team/outside:v1 registry`);

    const late = await place('enforce');
    await cluster.apply(deployment(late, 'a', registry.put('team/late:v1', appImage(3))));
    await expect.poll(() => events().at(-1), patience).toBe(`${registry.host}/team/late:v1 registry`);
    expect(events().length).toBe(3);
  });

  it('asks once for an image that many workloads run, and spaces what it asks', async () => {
    const registry = await registryWith();
    const namespaces = await Promise.all([place('enforce'), place('audit')]);
    const references = Array.from({ length: 10 }, (_, id) => registry.put(`team/app-${id}:v1`, appImage(id)));
    const create = async (id: number): Promise<unknown> => {
      const body = deployment(namespaces[id % 2]!, `d${id}`, references[id % 10]!);
      const path = `/apis/apps/v1/namespaces/${body.metadata.namespace}/deployments`;
      return await cluster.client.request({ method: 'POST', path, body });
    };
    await Promise.all(Array.from({ length: 200 }, (_, id) => create(id)));
    const times: number[] = [];
    const log = { ...silentReporter.log, debug: () => void times.push(performance.now()) };
    const reporter = createReporter({ log, clock: systemClock });
    const { warmUp } = replica(registry, { limits: { perSecond: 4, burst: 2 }, reporter });
    warmUp.start();
    await expect
      .poll(() => warmUp.stats(), patience)
      .toMatchObject({ workloads: 200, unsynced: 0, found: 10, waiting: 0 });
    expect(manifests(registry).length).toBe(10);
    expect(registry.mostAtOnce()).toBeLessThanOrEqual(2);
    // Two are saved up, the other eight are a quarter of a second apart; what is late only makes it longer.
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(1500);
  });

  it('asks nothing again when another replica leads', async () => {
    await installImageLibcs(cluster.client);
    const registry = await registryWith();
    const namespace = await place('enforce');
    for (let id = 0; id < 5; id += 1) {
      await cluster.apply(deployment(namespace, `d${id}`, registry.put(`team/app-${id}:v1`, appImage(id))));
    }
    const elected = (identity: string) => {
      const store = openStore(cluster.client);
      const own = replica(registry, { store, mayAct: () => leader.isLeader() });
      const leader = createLeader({
        client: cluster.client,
        namespace,
        name: 'libc-dns-webhook',
        identity,
        clock: systemClock,
        timing: { durationMs: 3000, renewMs: 2000, retryMs: 200 },
        onStarted: () => own.warmUp.start(),
        onStopped: () => own.warmUp.stop(),
      });
      closers.push(
        () => store.close(),
        () => leader.close(),
      );
      return { ...own, leader, store };
    };
    const first = elected('first');
    await expect.poll(() => first.warmUp.stats()?.found, patience).toBe(5);
    const second = elected('second');
    const libcs = async () => (await cluster.client.request<{ items: object[] }>({ path: LIBCS_PATH })).items.length;
    await expect.poll(libcs, patience).toBe(5);
    await expect.poll(() => second.store.stats().detected, patience).toBe(5);
    expect(second.warmUp.stats()).toBeUndefined();
    const before = registry.requests.length;

    await first.leader.close();
    expect(first.warmUp.stats()).toBeUndefined();
    await expect.poll(() => second.warmUp.stats(), patience).toMatchObject({ known: 5, found: 0, unsynced: 0 });
    expect(registry.requests.length).toBe(before);
  });

  it('logs in with the pull secrets of each workload', async () => {
    const [username, password] = ['robot', 'secret'];
    const registry = await registryWith({ auth: { kind: 'basic', username, password } });
    const [without, withSecret] = [await place('enforce'), await place('enforce')];
    const reference = registry.put('team/private:v1', appImage(1));
    const auths = { [registry.host]: { username, password } };
    const data = Buffer.from(JSON.stringify({ auths })).toString('base64');
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'pull', namespace: withSecret },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': data },
    });
    const secrets = createPullSecrets({
      client: cluster.client,
      readers: { dockerConfig: parseDockerConfig, legacyDockerConfig: parseLegacyDockerConfig },
      clock: systemClock,
      onProblem: () => {},
    });
    const { warmUp, events } = replica(registry, { credentials: secrets.loginsOf });
    warmUp.start();
    await cluster.apply(deployment(without, 'a', reference));
    await expect.poll(events, patience).toEqual([`${reference} unauthorized`]);
    await cluster.apply(deployment(withSecret, 'a', reference, { imagePullSecrets: [{ name: 'pull' }] }));
    await expect.poll(events, patience).toEqual([`${reference} unauthorized`, `${reference} registry`]);
  });

  it('goes on with the kinds that it may watch, and begins with others when it may or when they are installed', async () => {
    const registry = await registryWith();
    const namespace = await place('enforce');
    const client: KubeClient = createKubeClient(
      kubeConfigTransport({ files: [await cluster.kubeconfigOf(namespace, 'default')], userAgent: 'test' }),
    );
    closers.push(() => client.close());
    const watching = (resources: string[], apiGroups: string[]) => ({ apiGroups, resources, verbs: ['list', 'watch'] });
    const rules = [
      watching(['namespaces'], ['']),
      watching(['deployments', 'statefulsets', 'daemonsets'], ['apps']),
      watching(['cronjobs'], ['batch']),
      watching(['rollouts'], ['argoproj.io']),
    ];
    await cluster.apply(...clusterRole(namespace, rules));
    await cluster.apply(deployment(namespace, 'a', registry.put('team/app:v1', appImage(1))), {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'a', namespace },
      spec: { template: podTemplate(registry.put('team/job:v1', appImage(2)), { restartPolicy: 'Never' }) },
    });
    const rollouts = { group: 'argoproj.io', version: 'v1alpha1', plural: 'rollouts', template: 'spec.template' };
    const { warmUp, events } = replica(registry, { client, extraKinds: [rollouts] });
    warmUp.start();
    await expect
      .poll(() => events().toSorted(), patience)
      .toEqual([`${registry.host}/team/app:v1 registry`, 'argoproj.io/rollouts not-found', 'batch/jobs forbidden']);

    await cluster.apply(...clusterRole(namespace, [...rules, watching(['jobs'], ['batch'])]));
    await expect.poll(events, patience).toContain(`${registry.host}/team/job:v1 registry`);
    await cluster.apply(ROLLOUTS);
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd/rollouts.argoproj.io', '--timeout=30s']);
    const template = podTemplate(registry.put('team/rollout:v1', appImage(3)));
    const rollout = {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: 'a', namespace },
      spec: { template },
    };
    await cluster.apply(rollout);
    await expect.poll(events, patience).toContain(`${registry.host}/team/rollout:v1 registry`);
    expect(events().filter((event) => /not-found|forbidden/.test(event)).length).toBe(2);
  });
});

const ROLLOUTS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'rollouts.argoproj.io' },
  spec: {
    group: 'argoproj.io',
    scope: 'Namespaced',
    names: { kind: 'Rollout', plural: 'rollouts', singular: 'rollout' },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

function clusterRole(namespace: string, rules: object[]): object[] {
  const api = 'rbac.authorization.k8s.io';
  const metadata = { name: 'warm-up' };
  return [
    { apiVersion: `${api}/v1`, kind: 'ClusterRole', metadata, rules },
    {
      apiVersion: `${api}/v1`,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: api, kind: 'ClusterRole', name: 'warm-up' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace }],
    },
  ];
}
