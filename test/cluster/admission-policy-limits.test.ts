import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { finishedRemedies } from '../../src/pod-resolvers/remedies.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { containers, dnsOf, images, prepare, total } from '../support/admission-policy.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPod } from '../support/pods.ts';
import { installPodResolvers } from '../support/pod-resolvers.ts';
import { facts, policy, withNodeLocal } from '../support/policy.ts';

describe.runIf(hasCluster() && hasHelm())("the policy's limits", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await installPodResolvers(cluster);
    await cluster.apply(
      ...objects(renderText(['admissionPolicy.enabled=true'], ['-s', 'templates/admission-policy.yaml'])),
    );
  });
  afterAll(async () => await cluster?.stop());

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
      ['too many bytes, in fewer letters', 'é'.repeat(Math.floor(room / 2) + 1), null],
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
      [
        'options',
        64,
        (count) => ({
          spec: { containers: containers('glibc'), dnsConfig: { options: list(count).map((name) => ({ name })) } },
        }),
      ],
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

  describe('thousands of images of one registry', () => {
    const namespace = { name: 'thousands', labels: { 'libc-dns.dev/mode': 'enforce' } };
    const tagged = (index: number): string => `registry.test/team/service-${index}:1.${index % 10}.${index % 7}`;
    const digits = (index: number): string => index.toString(16).padStart(32, '0');
    const pinned = (index: number, first = '0'): string =>
      `registry.test/team/service-${index}@sha256:${first}${digits(index).slice(17)}${'e'.repeat(16)}${digits(index)}`;
    const SOME = ['alpine', 'localhost:5000/a:1', 'registry.test/a', `registry.test/a:1@sha256:${digits(7).repeat(2)}`];
    beforeAll(async () => {
      const known = Array.from({ length: 5000 }, (_, index) => (index < 2500 ? tagged(index) : pinned(index)));
      const entries = [...SOME, ...known].map((image) => [image, 'musl'] as const);
      await prepare(cluster, namespace, { cluster: facts, config: policy() }, new Map(entries));
    });

    const found = async (named: readonly string[]): Promise<readonly unknown[]> => {
      const spec = { containers: named.map((image, index) => ({ name: `c${index}`, image })) };
      const pod = { name: 'pod', annotations: {}, spec };
      const { decision } = dnsOf(await createPod(cluster, 'thousands', pod, { dryRun: 'All' }));
      return Object.values((decision as { resolvers: object }).resolvers);
    };
    const list = (count: number, of: (index: number) => string): string[] =>
      Array.from({ length: count }, (_, index) => of(index * 39));

    it.each([
      ['with tags', list(64, tagged)],
      ['with digests', list(64, (index) => pinned(2500 + index))],
      ['of other places and shapes', SOME],
    ])('%s: each is found', async (_, named) => {
      expect(await found(named)).toEqual(named.map(() => 'musl'));
    });

    it.each([
      ['another tag', 'registry.test/team/service-7:1.7.1'],
      ['a part of a name', 'registry.test/team/ervice-7:1.7.0'],
      ['a tag that goes on', 'registry.test/team/service-7:1.7.00'],
      ['another registry', 'other.test/team/service-7:1.7.0'],
      ['another digest', pinned(2500, 'f')],
      ['a name that ends with a slash', 'registry.test/team/'],
      ['nothing', '@'],
    ])('%s: unknown', async (_, image) => {
      expect(await found([image])).toEqual(['unknown']);
    });
  });

  describe('how often a Pod came before its image was looked up', () => {
    const namespace = { name: 'first', labels: { 'libc-dns.dev/mode': 'enforce' } };
    beforeAll(async () => {
      const known = new Map([...images, ['registry.test/odd:1 unknown', 'unknown'] as const]);
      await prepare(cluster, namespace, { cluster: facts, config: policy() }, known);
    });

    const counted = async (): Promise<number> =>
      await total(
        cluster,
        /^apiserver_validating_admission_policy_check_total\{enforcement_action="audit",error_type="\w+",policy="first[.]libc-dns-webhook[.]libc-dns[.]dev",[^}]*\} (\d+)$/gm,
      );

    it.each([
      ['known', ['musl'], 0],
      ['never looked up', ['never-seen'], 1],
      ['known and never looked up', ['musl', 'never-seen'], 1],
      ['looked up, and of no use to the policy', ['odd'], 0],
      ['both', ['odd', 'never-seen'], 1],
    ])('%s', async (_, names, more) => {
      const before = await counted();
      const pod = { name: 'pod', annotations: {}, spec: { containers: containers(...names) } };
      const stored = await createPod(cluster, 'first', pod, { dryRun: 'All' });
      expect(dnsOf(stored).decision).not.toBeNull();
      expect((await counted()) - before).toBe(more);
    });
  });

  describe('a PodResolvers that would have Pods refused, or cost the API server much: not taken', () => {
    const good = podResolversSpec(
      finishedRemedies({
        namespace: { name: 'x', labels: {} },
        cluster: facts,
        config: withNodeLocal(),
        reach: REACHES_ALL,
      }),
      'amd64',
      images,
    );
    const remedy = { reason: 'X', remedy: [], options: [] };
    const redirect = { ...remedy, dnsPolicy: 'None', nameservers: ['10.0.0.10'], searches: ['a.b'] };
    /** Search domains that take this many characters with a space between two. */
    const searches = (count: number): string[] =>
      Array.from({ length: Math.ceil((count + 1) / 200) }, (_, at) => 'a'.repeat(Math.min(199, count - at * 200)));
    beforeAll(async () => {
      await cluster.createNamespace('schema');
      const dnsConfig = { nameservers: ['10.0.0.10'], searches: searches(2048) };
      await createPod(cluster, 'schema', { name: 'pod', spec: { dnsConfig } }, { dryRun: 'All' });
      dnsConfig.searches = searches(2049);
      const refused = createPod(cluster, 'schema', { name: 'pod', spec: { dnsConfig } }, { dryRun: 'All' });
      await expect(refused).rejects.toMatchObject({ code: 'invalid' });
    });

    const send = async (spec: object): Promise<unknown> =>
      await cluster.client.request({
        ...applySpec('schema', spec as typeof good),
        query: { fieldManager: 'x', force: true, dryRun: 'All' },
      });

    it.each([
      ['what the leader writes', good],
      ['a redirect', { ...good, remedies: [redirect] }],
      [
        'one with as many search domains as a Pod may have',
        { ...good, remedies: [{ ...redirect, searches: searches(2048) }] },
      ],
    ])('but %s is', async (_, spec) => {
      await expect(send(spec)).resolves.toBeDefined();
    });

    it.each<[string, object]>([
      ['no marks of virtual nodes', { virtual: {} }],
      ['a long pattern', { virtual: { ...good.virtual, nodeName: 'a'.repeat(257) } }],
      ['many marks', { virtual: { ...good.virtual, marks: Array.from({ length: 65 }, String) } }],
      ['an image that runs something else', { images: { uclibc: {} } }],
      ['a text that takes long to search', { images: { musl: { x: { '': 'x'.repeat(16_385) } } } }],
      ...[
        ['an option without a name', { ...remedy, options: [{ name: '' }] }] as const,
        ['many options', { ...remedy, options: Array.from({ length: 33 }, (__, at) => ({ name: `o${at}` })) }] as const,
        ['a reason with quotes', { ...remedy, reason: '","x":"' }] as const,
        ['a long reason', { ...remedy, reason: 'x'.repeat(65) }] as const,
        ['another remedy', { ...remedy, remedy: ['x"'] }] as const,
        ['dnsPolicy None without nameservers', { ...remedy, dnsPolicy: 'None' }] as const,
        ['dnsPolicy None with none', { ...redirect, nameservers: [] }] as const,
        ['four nameservers', { ...redirect, nameservers: ['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4'] }] as const,
        ['a nameserver by name', { ...redirect, nameservers: ['nope'] }] as const,
        ['a search domain of two words', { ...redirect, searches: ['a b'] }] as const,
        ['search domains of 2049 characters', { ...redirect, searches: searches(2049) }] as const,
        ['33 search domains', { ...redirect, searches: Array.from({ length: 33 }, () => 'a') }] as const,
      ].map(([what, one]): [string, object] => [what, { remedies: [one] }]),
    ])('%s', async (_, part) => {
      await expect(send({ ...good, ...part })).rejects.toMatchObject({ code: 'invalid' });
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

    const evaluations = async (): Promise<number> =>
      await total(cluster, /^apiserver_mutating_admission_policy_check_total\{[^}]*"libc-dns[^}]*\} (\d+)$/gm);

    it('none that changes a Pod: the policy is evaluated once', async () => {
      const before = await evaluations();
      const stored = await createPod(cluster, 'others', {
        name: 'once',
        annotations: {},
        spec: { containers: containers('glibc') },
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
});
