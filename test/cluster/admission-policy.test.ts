import { applyPatch, deepClone } from 'fast-json-patch';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createEvaluate } from '../../src/admission/evaluate.ts';
import { containerRun, type Detection, type Detector, type DetectRequest } from '../../src/detection/detector.ts';
import type { ClusterFacts, NamespaceView, PolicyConfig } from '../../src/policy/model.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import { effectiveMode, isInScope } from '../../src/policy/scope.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { imageEntry } from '../../src/pod-resolvers/images.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { asTheWebhook, containers, dnsOf, images, prepare, RESOLVERS, warnings } from '../support/admission-policy.ts';
import { apiPod } from '../support/api-pods.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPod, podObject, type PodObject, type PodRequest } from '../support/pods.ts';
import { installPodResolvers } from '../support/pod-resolvers.ts';
import { facts, policy, verdict, withNodeLocal } from '../support/policy.ts';

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
  longLine: {
    spec: {
      containers: containers('musl'),
      dnsConfig: { options: [{ name: 'x'.repeat(225) }, { name: 'ndots', value: '2' }] },
    },
  },
  longLineGlibc: { spec: { containers: containers('glibc'), dnsConfig: { options: [{ name: 'x'.repeat(240) }] } } },
};

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
      let same = 0;
      for (const pod of pods) {
        const sent = { ...pod, metadata: { ...pod.metadata, name: 'any' } };
        if (await asTheWebhook(cluster, namespace, sent, evaluate)) same += 1;
      }
      expect(same).toBeGreaterThan(pods.length * 0.8);
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
