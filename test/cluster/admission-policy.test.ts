import { applyPatch, deepClone } from 'fast-json-patch';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { createEvaluate } from '../../src/admission/evaluate.ts';
import type { Detector, DetectRequest } from '../../src/detection/detector.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import type { ClusterFacts, PolicyConfig } from '../../src/policy/model.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { finishedRemedies } from '../../src/pod-resolvers/remedies.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { apiPod } from '../support/api-pods.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPod, type PodObject, type PodRequest } from '../support/pods.ts';
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

describe.runIf(hasCluster() && hasHelm())('the API server applies what is known', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
    const crd: object = parse(readFileSync('charts/libc-dns-webhook/files/podresolvers.yaml', 'utf8'));
    await cluster.apply(crd);
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd/podresolvers.libc-dns.dev', '--timeout=30s']);
    const rendered = renderText(['admissionPolicy.enabled=true'], ['-s', 'templates/admission-policy.yaml']);
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
      await cluster.createNamespace(name, namespace.labels);
      const spec = podResolversSpec(
        finishedRemedies({ namespace, cluster: known, config, reach: REACHES_ALL }),
        'amd64',
        images,
      );
      await cluster.client.request(applySpec(name, spec));
      // The API server's copies of policy and parameter follow within a second.
      for (let tries = 0; tries < 50; tries += 1) {
        const stored = await createPod(cluster, name, { name: 'probe', ...PODS['glibc'] }, { dryRun: 'All' });
        if (dnsOf(stored).decision !== null) return;
        await sleep(200);
      }
      throw new Error('the policy does nothing');
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
      const differences = new Set<string>();
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
        expect(difference, JSON.stringify({ sent, stored, expected })).toBeTypeOf('string');
        // Never more than the webhook: the Pod keeps its servers and search domains.
        expect(withoutOptions(stored)).toEqual(withoutOptions(dnsOf(sent as unknown as PodObject)));
        differences.add(difference ?? '');
      }
      expect(differences.size).toBeGreaterThan(0);
    }, 120_000);
  });
});
