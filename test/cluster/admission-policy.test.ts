import { applyPatch, deepClone } from 'fast-json-patch';
import fc from 'fast-check';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createEvaluate } from '../../src/admission/evaluate.ts';
import { containerRun, type Detection, type Detector, type DetectRequest } from '../../src/detection/detector.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import type { ClusterFacts, NamespaceView, PolicyConfig } from '../../src/policy/model.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import { effectiveMode, isInScope } from '../../src/policy/scope.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { imageEntry } from '../../src/pod-resolvers/images.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { finishedRemedies, type RemedyTerms } from '../../src/pod-resolvers/remedies.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { apiPod } from '../support/api-pods.ts';
import { binary, hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPod, podObject, type PodObject, type PodRequest } from '../support/pods.ts';
import { installPodResolvers } from '../support/pod-resolvers.ts';
import { facts, policy, verdict, withNodeLocal } from '../support/policy.ts';

const RESOLVERS: readonly Resolver[] = ['glibc', 'musl', 'go', 'other'];

/** An image named after its resolver is that, whatever its args; any other is unknown. */
const resolverOf = (image: string): Resolver =>
  RESOLVERS.find((one) => image === `registry.test/${one}:1`) ?? 'unknown';

const detector: Detector = {
  detect: async (request: DetectRequest) => ({
    verdict: verdict(request.platform.architecture === 'amd64' ? resolverOf(request.reference) : 'unknown'),
    decidedBy: 'entrypoint',
    from: 'memory',
    meter: { requests: 0, bytes: 0 },
  }),
};

const images = new Map(RESOLVERS.map((one) => [`registry.test/${one}:1`, one]));

const containers = (...resolvers: readonly string[]): object[] =>
  resolvers.map((one, index) => ({ name: `c${index}`, image: `registry.test/${one}:1` }));

const AMD64 = { os: 'linux', architecture: 'amd64' };
const NOTHING = { command: [], args: [] };

/** What is found in the images of the second part. */
function found({ reference, env }: DetectRequest): Detection {
  const [, name = ''] = /\/([a-z]+):/.exec(reference) ?? [];
  const at = { digest: 'sha256:1', from: 'memory', meter: { requests: 0, bytes: 0 } } as const;
  if (name === 'entry') return { ...at, verdict: verdict('musl'), decidedBy: 'entrypoint' };
  if (name === 'word') return { ...at, verdict: verdict('glibc'), decidedBy: 'first-word' };
  if (name === 'data') return { ...at, verdict: verdict('musl'), decidedBy: 'entrypoint', executable: '/var/app/run' };
  return { ...at, verdict: verdict(env?.['RUN'] === 'musl' ? 'musl' : 'glibc') };
}

/** Returns what the API server warns of when an object is created in a dry run. */
async function warnings({ kubeconfig }: TestCluster, namespace: string, object: object): Promise<string> {
  const flags = ['--kubeconfig', kubeconfig, '-n', namespace, 'create', '--dry-run=server', '-f', '-'];
  const child = execFile(binary('kubectl') ?? 'kubectl', flags);
  child.stdin?.end(JSON.stringify(object));
  const [text] = await Promise.all([child.stderr === null ? '' : readText(child.stderr), once(child, 'close')]);
  return text;
}

const AUDITED =
  'libc-dns (audit): this Pod would get {"reason":"MuslRetried","remedy":["retry"],"resolvers":{"main":"musl"}}';

/** Pods by name. */
const PODS: Readonly<Record<string, Omit<PodRequest, 'name'>>> = {
  glibc: { spec: { containers: containers('glibc') } },
  musl: { spec: { containers: containers('musl') } },
  go: { spec: { containers: containers('go') } },
  other: { spec: { containers: containers('other') } },
  unknown: { spec: { containers: containers('never-seen') } },
  mixed: { spec: { containers: containers('glibc', 'musl', 'go') } },
  init: {
    spec: { initContainers: [{ name: 'first', image: 'registry.test/musl:1' }], containers: containers('glibc') },
  },
  declared: { annotations: { 'libc-dns.dev/libc.c1': 'musl' }, spec: { containers: containers('go', 'never-seen') } },
  invalid: { annotations: { 'libc-dns.dev/libc': 'uclibc' }, spec: { containers: containers('glibc') } },
  ndots: { spec: { containers: containers('musl'), dnsConfig: { options: [{ name: 'ndots', value: '2' }] } } },
  single: { spec: { containers: containers('glibc'), dnsConfig: { options: [{ name: 'single-request' }] } } },
  inName: { spec: { containers: containers('musl'), dnsConfig: { options: [{ name: 'timeout:7' }] } } },
  complete: {
    spec: {
      containers: containers('glibc'),
      dnsConfig: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] },
    },
  },
  ownServer: { spec: { containers: containers('glibc'), dnsConfig: { nameservers: ['10.9.9.9'] } } },
  ownSearchGlibc: { spec: { containers: containers('glibc'), dnsConfig: { searches: ['corp.example'] } } },
  virtual: { spec: { containers: containers('musl'), nodeSelector: { type: 'virtual-kubelet' } } },
  tolerates: {
    spec: { containers: containers('musl'), tolerations: [{ key: 'virtual-kubelet.io/provider', operator: 'Exists' }] },
  },
  hostNetwork: { spec: { containers: containers('musl'), hostNetwork: true } },
  hostDns: { spec: { containers: containers('musl'), hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' } },
  none: { spec: { containers: containers('musl'), dnsPolicy: 'None', dnsConfig: { nameservers: ['10.9.9.9'] } } },
  off: { labels: { 'libc-dns.dev/mode': 'off' }, spec: { containers: containers('musl') } },
  audit: { labels: { 'libc-dns.dev/mode': 'audit' }, spec: { containers: containers('musl') } },
  labels: { labels: { app: 'x' }, annotations: {}, spec: { containers: containers('glibc') } },
};

interface Dns {
  readonly dnsPolicy: unknown;
  readonly dnsConfig: object | undefined;
  readonly decision: unknown;
}

const dnsOf = (pod: { metadata?: unknown; spec?: unknown }): Dns => {
  const { annotations } = (pod.metadata ?? {}) as { annotations?: Record<string, string> };
  const { dnsPolicy = 'ClusterFirst', dnsConfig: given } = pod.spec as PodObject['spec'];
  // The API server leaves out what is empty.
  const dnsConfig = given && Object.fromEntries(Object.entries(given).filter(([, list]) => list.length > 0));
  return { dnsPolicy, dnsConfig, decision: JSON.parse(annotations?.['libc-dns.dev/decision'] ?? 'null') };
};

/** Returns why the policy may do otherwise than the webhook for a Pod (docs/policy.md); undefined if it may not. */
function listed({ spec }: Sent): string | undefined {
  const { dnsConfig = {} } = spec as { dnsConfig?: Record<string, readonly unknown[]> };
  if ((dnsConfig['nameservers'] ?? []).length > 0) return 'it has nameservers of its own';
  return (dnsConfig['searches'] ?? []).length > 0 ? 'it has search domains of its own' : undefined;
}

interface Sent {
  readonly metadata: object;
  readonly spec: object;
}

function withoutRequest(pod: Sent): Sent {
  const copy = deepClone(pod) as { metadata: { annotations?: Record<string, string> }; spec: object };
  delete copy.metadata.annotations?.['libc-dns.dev/remedy'];
  return copy;
}

const withoutOptions = ({ dnsPolicy, dnsConfig = {} }: Dns): object => ({
  dnsPolicy,
  dnsConfig: { ...dnsConfig, options: [] },
});

/** Creates a namespace with its PodResolvers, and waits until the API server's copies of policy and parameter are there. */
async function prepare(
  cluster: TestCluster,
  namespace: NamespaceView,
  terms: Pick<RemedyTerms, 'cluster' | 'config'>,
  known: ReadonlyMap<string, string>,
): Promise<void> {
  const { name, labels } = namespace;
  await cluster.createNamespace(name, labels);
  const remedies = finishedRemedies({ namespace, reach: REACHES_ALL, ...terms });
  await cluster.client.request(applySpec(name, podResolversSpec(remedies, 'amd64', known)));
  for (let tries = 0; tries < 50; tries += 1) {
    const probe = {
      name: 'probe',
      labels: { 'libc-dns.dev/mode': 'enforce' },
      annotations: { 'libc-dns.dev/libc': 'glibc' },
    };
    const stored = await createPod(cluster, name, probe, { dryRun: 'All' });
    if (dnsOf(stored).decision !== null) return;
    if ((await warnings(cluster, name, podObject(probe))).includes('libc-dns (audit)')) return;
    await sleep(200);
  }
  throw new Error('the policy does nothing');
}

describe.runIf(hasCluster() && hasHelm())('the API server applies what is known', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await installPodResolvers(cluster);
    const rendered = renderText(
      ['admissionPolicy.enabled=true', 'config.server.warnings=true'],
      ['-s', 'templates/admission-policy.yaml'],
    );
    await cluster.apply(...objects(rendered));
  });
  afterAll(async () => await cluster?.stop());

  describe.each<[string, PolicyConfig, ClusterFacts]>([
    ['options', policy(), facts],
    ['redirect', withNodeLocal(), facts],
    ['no-tcp', withNodeLocal(), { ...facts, dnsOverTcp: false }],
  ])('%s', (name, config, known) => {
    const namespace = { name, labels: { 'libc-dns.dev/mode': 'enforce' } };
    const platform = { os: 'linux', architecture: 'amd64' };
    const evaluate = createEvaluate({ config, cluster: () => known, verdicts: { detector, platform } });
    beforeAll(async () => {
      await prepare(cluster, namespace, { cluster: known, config }, images);
    });

    it.each(Object.entries(PODS))('%s: as the webhook would', async (pod, request) => {
      const metadata = { name: pod.toLowerCase(), labels: request.labels ?? {}, annotations: request.annotations };
      const sent = { apiVersion: 'v1', kind: 'Pod', metadata, spec: request.spec ?? {} };
      const { patch } = await evaluate(sent, namespace, { budgetMs: 1000 });
      const expected = applyPatch(deepClone(sent), patch).newDocument as PodObject;
      const stored = await createPod(cluster, name, { annotations: {}, ...request, name: pod.toLowerCase() });
      expect(dnsOf(stored)).toEqual(dnsOf(expected));
    });

    it('any Pod: as the webhook would, but for what docs/policy.md lists', async () => {
      const pods = fc.sample(apiPod, { numRuns: Number(process.env['POLICY_PODS'] ?? 300), seed: 1 });
      for (const pod of pods) {
        const sent = { ...pod, metadata: { ...pod.metadata, name: 'any' } };
        // The policy adds no cache to a Pod that asks for one: it gives what the Pod would get without asking.
        const { patch } = await evaluate(withoutRequest(sent), namespace, { budgetMs: 1000 });
        const expected = dnsOf(applyPatch(withoutRequest(sent), patch).newDocument);
        const path = `/api/v1/namespaces/${name}/pods`;
        const query = { dryRun: 'All' };
        const stored = dnsOf(await cluster.client.request<PodObject>({ method: 'POST', path, query, body: sent }));
        if (isDeepStrictEqual(stored, expected)) continue;
        const difference = listed(sent);
        if (difference === undefined) throw new Error(JSON.stringify({ sent, stored, expected }));
        // Never more than the webhook: the Pod keeps its servers and search domains.
        expect(withoutOptions(stored)).toEqual(withoutOptions(dnsOf(sent as unknown as PodObject)));
      }
    }, 120_000);
  });

  describe('what a container runs', () => {
    const namespace = { name: 'runs', labels: { 'libc-dns.dev/mode': 'enforce' } };
    const offers: readonly object[] = [
      { image: 'registry.test/entry:1', args: ['--port=80'] },
      { image: 'registry.test/word:1', command: ['node', 'server.js'] },
      { image: 'registry.test/word:1', args: ['serve'] },
      { image: 'registry.test/script:1' },
      { image: 'registry.test/script:1', env: [{ name: 'RUN', value: 'musl' }] },
      { image: 'registry.test/data:1' },
    ];
    beforeAll(async () => {
      const entries = offers.flatMap((one) => {
        const [view] = readPod({ spec: { containers: [{ name: 'c', ...one }] } }).containers;
        const request = { reference: view?.image ?? '', platform: AMD64, ...containerRun(view ?? NOTHING) };
        const entry = imageEntry(request, found(request));
        return entry === undefined ? [] : [[entry.key, entry.resolvers] as const];
      });
      await prepare(cluster, namespace, { cluster: facts, config: policy() }, new Map(entries));
    });

    it.each<[string, object, string]>([
      ['an entry point of the image, other args', { image: 'registry.test/entry:1', args: ['x'] }, 'musl'],
      ['with a command of its own that is not known', { image: 'registry.test/entry:1', command: ['x'] }, 'unknown'],
      ['with variables', { image: 'registry.test/entry:1', env: [{ name: 'A', value: 'b' }] }, 'musl'],
      ['with PATH', { image: 'registry.test/entry:1', env: [{ name: 'PATH', value: '/x' }] }, 'unknown'],
      ['in another folder', { image: 'registry.test/entry:1', workingDir: '/x' }, 'unknown'],
      [
        'with data mounted',
        { image: 'registry.test/entry:1', volumeMounts: [{ name: 'v', mountPath: '/etc/x' }] },
        'musl',
      ],
      [
        'with programs mounted',
        { image: 'registry.test/entry:1', volumeMounts: [{ name: 'v', mountPath: '/usr' }] },
        'unknown',
      ],
      ['a known first word of command', { image: 'registry.test/word:1', command: ['node', 'other.js'] }, 'glibc'],
      ['another first word', { image: 'registry.test/word:1', command: ['python'] }, 'unknown'],
      ['a known first word of args', { image: 'registry.test/word:1', args: ['serve', 'x'] }, 'glibc'],
      [
        'from a volume',
        { image: 'registry.test/word:1', command: ['/data/run'], volumeMounts: [{ name: 'v', mountPath: '/data' }] },
        'unknown',
      ],
      ['a script with nothing of its own', { image: 'registry.test/script:1' }, 'glibc'],
      [
        'a script with variables',
        { image: 'registry.test/script:1', env: [{ name: 'RUN', value: 'musl' }] },
        'unknown',
      ],
      ['a script and another user', { image: 'registry.test/script:1', securityContext: { runAsUser: 1 } }, 'unknown'],
      ['a program in a folder of data', { image: 'registry.test/data:1' }, 'unknown'],
    ])('%s', async (what, container, resolver) => {
      const name = what.toLowerCase().replaceAll(/[^a-z]+/g, '-');
      const spec = { containers: [{ name: 'c', ...container }], volumes: [{ name: 'v', emptyDir: {} }] };
      const stored = await createPod(cluster, 'runs', { name, annotations: {}, spec });
      expect(dnsOf(stored).decision).toMatchObject({ resolvers: { c: resolver } });
    });
  });

  describe('a Pod as the API server takes it, but hardly', () => {
    const namespace = { name: 'limits', labels: { 'libc-dns.dev/mode': 'enforce' } };
    beforeAll(async () => {
      await prepare(cluster, namespace, { cluster: facts, config: policy() }, images);
    });

    const MOST_ANNOTATIONS = 262_144;
    const decision = '{"reason":"MuslRetried","remedy":["retry"],"resolvers":{"c0":"musl"}}';
    const room = MOST_ANNOTATIONS - decision.length - 'libc-dns.dev/decision'.length - 'a'.length;

    it.each([
      ['as many annotations as leave room for the decision', 'x'.repeat(room), JSON.parse(decision)],
      ['one byte more', 'x'.repeat(room + 1), null],
      [
        'one byte more, in letters of two bytes',
        `${'é'.repeat(room / 2)}x`,
        room % 2 === 0 ? null : JSON.parse(decision),
      ],
      ['all that it takes', 'x'.repeat(MOST_ANNOTATIONS - 1), null],
    ])('%s: patched', async (_, value, expected) => {
      const pod = { name: 'annotated', annotations: { a: value }, spec: { containers: containers('musl') } };
      const stored = dnsOf(await createPod(cluster, 'limits', pod, { dryRun: 'All' }));
      expect(stored.dnsConfig).toEqual({
        options: expect.arrayContaining([{ name: 'timeout', value: '5' }]) as unknown,
      });
      expect(stored.decision).toEqual(expected);
    });

    const many = (count: number, prefix = 'k'): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, 'x']));
    const list = (count: number): string[] => Object.keys(many(count));

    it.each<[string, number, (count: number) => object]>([
      ['containers', 64, (count) => ({ spec: { containers: containers(...list(count).map(() => 'musl')) } })],
      [
        'initContainers',
        64,
        (count) => ({ spec: { initContainers: list(count).map((name) => ({ name, image: 'registry.test/musl:1' })) } }),
      ],
      ['labels', 256, (count) => ({ labels: many(count) })],
      ['annotations', 256, (count) => ({ annotations: many(count) })],
      ['nodeSelector', 64, (count) => ({ spec: { nodeSelector: many(count) } })],
      // The API server itself adds two.
      [
        'tolerations',
        254,
        (count) => ({ spec: { tolerations: list(count).map((key) => ({ key, operator: 'Exists' })) } }),
      ],
      ['options', 64, (count) => ({ spec: { dnsConfig: { options: list(count).map((name) => ({ name })) } } })],
    ])('%s: up to %d, not one more', async (_, most, made) => {
      const decisionOf = async (count: number): Promise<unknown> => {
        const { spec = {}, ...metadata } = made(count) as { spec?: object };
        const pod = { name: 'many', annotations: {}, ...metadata, spec: { containers: containers('musl'), ...spec } };
        return dnsOf(await createPod(cluster, 'limits', pod, { dryRun: 'All' })).decision;
      };
      expect(await decisionOf(most)).not.toBeNull();
      expect(await decisionOf(most + 1)).toBeNull();
    });
  });

  describe('other plugins', () => {
    const namespace = { name: 'others', labels: { 'libc-dns.dev/mode': 'enforce', injected: 'yes' } };
    const name = 'inject.test.dev';
    beforeAll(async () => {
      await prepare(cluster, namespace, { cluster: facts, config: policy() }, images);
      const spec = {
        failurePolicy: 'Fail',
        reinvocationPolicy: 'Never',
        matchConstraints: {
          namespaceSelector: { matchLabels: { injected: 'yes' } },
          objectSelector: { matchLabels: { inject: 'yes' } },
          resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        },
        mutations: [
          {
            patchType: 'JSONPatch',
            jsonPatch: {
              expression:
                "[JSONPatch{op: 'add', path: '/spec/containers/-', value: Object.spec.containers{name: 'late', image: 'registry.test/musl:1'}}]",
            },
          },
        ],
      };
      const of = (kind: string, body: object): object => ({
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind,
        metadata: { name },
        spec: body,
      });
      await cluster.apply(
        of('MutatingAdmissionPolicy', spec),
        of('MutatingAdmissionPolicyBinding', { policyName: name }),
      );
    });

    const evaluations = async (): Promise<number> => {
      const text = await cluster.kubectl(['get', '--raw', '/metrics']);
      const lines = text.matchAll(/^apiserver_mutating_admission_policy_check_total\{[^}]*"libc-dns[^}]*\} (\d+)$/gm);
      return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
    };

    it('none that changes a Pod: the policy is evaluated once', async () => {
      const before = await evaluations();
      const stored = await createPod(cluster, 'others', {
        name: 'once',
        annotations: {},
        spec: PODS['glibc']?.spec ?? {},
      });
      expect(dnsOf(stored).decision).toMatchObject({ reason: 'OptionsAdded' });
      expect((await evaluations()) - before).toBe(1);
    });

    it('one that adds a container after ours: its options are added', async () => {
      const pod = {
        name: 'injected',
        labels: { inject: 'yes' },
        annotations: {},
        spec: { containers: containers('glibc') },
      };
      await expect
        .poll(
          async () => {
            const stored = await createPod(cluster, 'others', pod, { dryRun: 'All' });
            return [stored.spec.containers.map((one) => one.name), dnsOf(stored).decision];
          },
          { timeout: 10_000 },
        )
        .toEqual([
          ['c0', 'late'],
          expect.objectContaining({ reason: 'MixedRetried', resolvers: { c0: 'glibc', late: 'musl' } }),
        ]);
    });
  });

  describe.each<[string, Pick<PolicyConfig, 'scope' | 'mode'>]>([
    ['opt-in', { scope: 'opt-in', mode: 'enforce' }],
    ['cluster', { scope: 'cluster', mode: 'enforce' }],
    ['audited', { scope: 'cluster', mode: 'audit' }],
  ])('the mode, %s', (name, config) => {
    const modes = ['enforce', 'audit', 'off', 'Enforce', undefined];
    const scoped = { ...policy(), ...config };
    const label = (mode: string | undefined): Record<string, string> =>
      mode === undefined ? {} : { 'libc-dns.dev/mode': mode };
    const namespaces: readonly NamespaceView[] = modes.map((mode) => ({
      name: `${name}-${mode?.toLowerCase() ?? 'none'}${mode === 'Enforce' ? '-wrong' : ''}`,
      labels: { only: name, ...label(mode) },
    }));
    beforeAll(async () => {
      const values = [
        `fullnameOverride="${name}"`,
        'admissionPolicy.enabled=true',
        'config.server.warnings=true',
        `config.scope="${config.scope}"`,
        `config.mode="${config.mode}"`,
        `webhook.namespaceSelector={"matchLabels":{"only":"${name}"}}`,
      ];
      await cluster.apply(...objects(renderText(values, ['-s', 'templates/admission-policy.yaml'])));
      for (const namespace of namespaces) {
        // As the leader does: no object where nothing is in scope.
        if (isInScope(namespace, scoped)) {
          await prepare(cluster, namespace, { cluster: facts, config: scoped }, new Map());
        } else await cluster.createNamespace(namespace.name, namespace.labels);
      }
    });

    it.each(namespaces.flatMap((namespace) => modes.map((mode) => [namespace.name, mode, namespace] as const)))(
      'namespace %s, Pod %s',
      async (_, mode, namespace) => {
        const pod = podObject({ name: 'pod', labels: label(mode) });
        const expected = isInScope(namespace, scoped)
          ? effectiveMode({ labels: label(mode) }, namespace, scoped).mode
          : 'off';
        const stored = await cluster.client.request<PodObject>({
          method: 'POST',
          path: `/api/v1/namespaces/${namespace.name}/pods`,
          query: { dryRun: 'All' },
          body: pod,
        });
        expect(dnsOf(stored).decision !== null).toBe(expected === 'enforce');
        // Nothing is said of a Pod that says audit in a namespace whose Pods are patched: docs/policy.md.
        if (effectiveMode({ labels: {} }, namespace, scoped).mode === 'enforce') return;
        const warned = await warnings(cluster, namespace.name, pod);
        expect(warned.includes(AUDITED)).toBe(expected === 'audit');
      },
    );
  });
});
