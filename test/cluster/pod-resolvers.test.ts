import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Detection, DetectRequest } from '../../src/detection/detector.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import type { KubeClient, KubeRequest } from '../../src/kubernetes/client.ts';
import { KubeError } from '../../src/kubernetes/errors.ts';
import { resourcePath, RESOURCES } from '../../src/kubernetes/objects.ts';
import { UNKNOWN_REACH } from '../../src/cluster/reach/reach.ts';
import type { ClusterFacts, NamespaceView } from '../../src/policy/model.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { applySpec, type PodResolversSpec } from '../../src/pod-resolvers/object.ts';
import { createPodResolvers, type PodResolvers } from '../../src/pod-resolvers/writer.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { entriesIn, installPodResolvers } from '../support/pod-resolvers.ts';
import { enforced, facts, policy, verdict, withNodeLocal } from '../support/policy.ts';
import { recordingReporter } from '../support/recording-reporter.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const patience = { timeout: 20_000, interval: 50 };

const request = (reference: string): DetectRequest => ({ reference, platform: AMD64, command: [], args: [] });

describe.runIf(hasCluster())('the leader keeps a PodResolvers in each namespace', () => {
  let cluster: TestCluster;
  let known: Map<string, Resolver>;
  let places: Map<string, NamespaceView>;
  let current: ClusterFacts;
  let withPolicies: Set<string>;
  let now: number;
  let made: PodResolvers[];
  let count = 0;

  beforeAll(async () => {
    cluster = await startCluster();
    await installPodResolvers(cluster);
  });
  afterAll(async () => await cluster?.stop());
  beforeEach(() => {
    known = new Map();
    places = new Map();
    current = facts;
    withPolicies = new Set();
    now = 0;
    made = [];
  });
  afterEach(async () => {
    for (const one of made) await one.stop();
  });

  async function place(): Promise<string> {
    count += 1;
    const name = `resolvers-${count}`;
    await cluster.createNamespace(name);
    places.set(name, enforced(name));
    return name;
  }

  function peek({ reference }: DetectRequest): Detection | undefined {
    const resolver = known.get(reference);
    const at = { digest: 'sha256:1', from: 'memory', meter: { requests: 0, bytes: 0 } } as const;
    return resolver && { ...at, verdict: verdict(resolver), decidedBy: 'entrypoint' };
  }

  function leader(client: Pick<KubeClient, 'request'> = cluster.client, config = policy()) {
    const { reporter, lines } = recordingReporter();
    const one = createPodResolvers({
      client,
      namespaces: { names: () => places.keys(), peek: (name) => places.get(name), ready: Promise.resolve() },
      config,
      cluster: () => current,
      reach: (name) => (withPolicies.has(name) ? UNKNOWN_REACH : REACHES_ALL),
      detector: { peek },
      platform: AMD64,
      clock: { monotonic: () => now },
      reporter,
      everyMs: 20,
    });
    made.push(one);
    one.start();
    return { ...one, lines };
  }

  /** Returns the spec in a namespace, with `images` as entries; undefined if there is no object. */
  async function specOf(namespace: string) {
    const spec = await rawSpecOf(namespace);
    return spec && { ...spec, images: entriesIn(spec.images) };
  }

  async function rawSpecOf(namespace: string): Promise<PodResolversSpec | undefined> {
    const path = resourcePath(RESOURCES.podResolvers, 'libc-dns', namespace);
    const object = await cluster.client.request<{ spec: PodResolversSpec }>({ path }).catch((error: KubeError) => {
      if (error.code === 'not-found') return undefined;
      throw error;
    });
    return object?.spec;
  }

  /** Waits for a namespace's spec to hold this. */
  const until = async (namespace: string, expected: unknown): Promise<void> =>
    await vi.waitFor(async () => expect(await specOf(namespace)).toEqual(expected), patience);

  const holding = (images: Readonly<Record<string, string>>): unknown => expect.objectContaining({ images });

  const workload = (
    namespace: string,
    more: { readonly workload?: string; readonly pods?: number; readonly isCurrent?: () => boolean } = {},
  ) => ({ namespace, workload: 'apps/deployments/shop', pods: 1, isCurrent: () => true, ...more });

  it('in scope without workloads: the remedies, and no image', async () => {
    const shop = await place();
    leader();
    await until(shop, expect.objectContaining({ architecture: 'amd64', count: 0, leftOut: 0, images: {} }));
    const spec = await specOf(shop);
    const place1 = spec?.classes.plain['glibc'] ?? -1;
    expect(spec?.remedies[place1]).toEqual({
      reason: 'OptionsAdded',
      remedy: ['options'],
      options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }],
    });
  });

  it('out of scope: none; and none any more when the namespace leaves it or is deleted', async () => {
    const [shop, other, gone] = [await place(), await place(), await place()];
    places.set(other, { name: other, labels: {} });
    leader();
    await until(shop, holding({}));
    await until(gone, holding({}));
    expect(await specOf(other)).toBeUndefined();
    places.set(shop, { name: shop, labels: { 'libc-dns.dev/mode': 'off' } });
    places.delete(gone);
    await until(shop, undefined);
    await until(gone, undefined);
    places.set(shop, enforced(shop));
    await until(shop, holding({}));
  });

  it('a namespace that is deleted and created again at once: has an object again at once', async () => {
    const shop = await place();
    const writer = leader();
    await until(shop, holding({}));
    const path = resourcePath(RESOURCES.podResolvers, 'libc-dns', shop);
    await cluster.client.request({ method: 'DELETE', path });
    await sleep(200);
    expect(await specOf(shop)).toBeUndefined();
    // Between two rounds.
    places.delete(shop);
    writer.namespaceChanged(shop);
    places.set(shop, enforced(shop));
    writer.namespaceChanged(shop);
    await until(shop, holding({}));
  });

  it('an image: once its verdict is known, as long as a workload runs it', async () => {
    const shop = await place();
    const writer = leader();
    let isWanted = true;
    writer.offer({ request: request('alpine:3') }, workload(shop, { isCurrent: () => isWanted }));
    writer.offer({ request: request('debian:13') }, workload(shop));
    known.set('debian:13', 'glibc');
    await until(shop, holding({ 'debian:13': 'glibc' }));
    known.set('alpine:3', 'musl');
    await until(shop, holding({ 'alpine:3': 'musl', 'debian:13': 'glibc' }));
    known.set('debian:13', 'go');
    isWanted = false;
    now += 30_000;
    await until(shop, holding({ 'debian:13': 'go' }));
    expect(await specOf(shop)).toMatchObject({ count: 1, leftOut: 0 });
  });

  it('an image for another architecture: none', async () => {
    const shop = await place();
    const writer = leader();
    known.set('arm:1', 'musl');
    known.set('amd:1', 'musl');
    const arm64 = { os: 'linux', architecture: 'arm64' };
    writer.offer({ request: { ...request('arm:1'), platform: arm64 } }, workload(shop));
    writer.offer({ request: request('amd:1') }, workload(shop));
    await until(shop, holding({ 'amd:1': 'musl' }));
    expect(await specOf(shop)).toMatchObject({ architecture: 'amd64', count: 1 });
  });

  it('what is known of the cluster changes: the remedies follow', async () => {
    const shop = await place();
    leader(cluster.client, withNodeLocal());
    const servers = (list: readonly string[]): unknown =>
      expect.objectContaining({
        remedies: expect.arrayContaining([
          expect.objectContaining({ reason: 'MuslRedirected', nameservers: list }),
        ]) as unknown,
      });
    await until(shop, servers(['169.254.20.10', '10.96.0.10']));
    current = { ...facts, dns: ['10.0.0.10'] };
    await until(shop, servers(['169.254.20.10', '10.0.0.10']));
    expect(JSON.stringify(await specOf(shop))).not.toContain('10.96.0.10');
  });

  it('network policies: no use-vc for any Pod of the namespace', async () => {
    const shop = await place();
    leader();
    await until(shop, holding({}));
    expect(JSON.stringify(await specOf(shop))).toContain('use-vc');
    withPolicies.add(shop);
    await vi.waitFor(async () => expect(JSON.stringify(await specOf(shop))).not.toContain('use-vc'), patience);
    expect(JSON.stringify(await specOf(shop))).toContain('TcpNotAllowed');
  });

  it('a new leader does not replace what its predecessor knew by less, for a minute', async () => {
    const shop = await place();
    known.set('alpine:3', 'musl');
    const first = leader();
    first.offer({ request: request('alpine:3') }, workload(shop));
    await until(shop, holding({ 'alpine:3': 'musl' }));
    await first.stop();
    const other = await place();
    leader();
    await until(other, holding({}));
    expect(await specOf(shop)).toEqual(holding({ 'alpine:3': 'musl' }));
    now += 60_000;
    await until(shop, holding({}));
  });

  it('objects that cannot be listed at first: says so, and goes on', async () => {
    const shop = await place();
    let failures = 2;
    const { lines } = leader({
      request: async (asked) => {
        if (asked.method === undefined && failures > 0) {
          failures -= 1;
          throw new KubeError('forbidden', 'podresolvers is forbidden');
        }
        return await cluster.client.request(asked);
      },
    });
    await until(shop, holding({}));
    expect(lines.map(({ message }) => message)).toEqual([
      'the PodResolvers of an earlier leader cannot be listed',
      'over: the PodResolvers of an earlier leader cannot be listed',
    ]);
  });

  describe('an object that somebody else has touched: written again within half a minute, and the log says so', () => {
    const path = (namespace: string): string => resourcePath(RESOURCES.podResolvers, 'libc-dns', namespace);
    const TOUCHED = 'somebody else has deleted or changed a PodResolvers: it is written again';

    it.each<[string, KubeRequest]>([
      ['deleted', { method: 'DELETE', path: '' }],
      [
        'changed',
        {
          method: 'PATCH',
          path: '',
          contentType: 'application/merge-patch+json',
          body: { spec: { images: { go: { '': { '': ' alpine:3 ' } } }, remedies: [] } },
        },
      ],
    ])('%s', async (_, change) => {
      const shop = await place();
      known.set('alpine:3', 'musl');
      const writer = leader();
      writer.offer({ request: request('alpine:3') }, workload(shop));
      await until(shop, holding({ 'alpine:3': 'musl' }));
      const before = await specOf(shop);
      await sleep(200);
      await cluster.client.request({ ...change, path: path(shop) });
      await sleep(200);
      expect(await specOf(shop)).not.toEqual(before);
      now += 30_000;
      await until(shop, before);
      expect(writer.lines).toMatchObject([{ message: TOUCHED, fields: { namespace: shop } }]);
    });

    it('by the leader of another release: the log says so once', async () => {
      const [shop, other] = [await place(), await place()];
      current = { ...facts, ownNamespace: 'one' };
      const { lines } = leader();
      await until(shop, holding({}));
      await until(other, holding({}));
      for (let round = 1; round <= 2; round += 1) {
        await sleep(200);
        for (const name of [shop, other]) {
          const spec = await rawSpecOf(name);
          await cluster.client.request(applySpec(name, { ...spec, architecture: `not-${round}` } as never, 'two'));
        }
        now += 30_000;
        for (const name of [shop, other]) await until(name, expect.objectContaining({ architecture: 'amd64' }));
      }
      expect(lines).toMatchObject([
        { message: expect.stringMatching(/^two releases write the same/) as unknown, fields: { release: 'two' } },
      ]);
    });

    it('not touched: not written', async () => {
      const shop = await place();
      const writes: string[] = [];
      const { lines } = leader({
        request: async (asked) => {
          writes.push(asked.method ?? 'GET');
          return await cluster.client.request(asked);
        },
      });
      await until(shop, holding({}));
      await sleep(200);
      now += 30_000;
      await vi.waitFor(() => expect(writes.filter((one) => one === 'GET').length).toBe(2), patience);
      await sleep(200);
      expect(writes.filter((one) => one === 'PATCH')).toHaveLength(1);
      expect(lines).toEqual([]);
    });

    it('they cannot be listed: counted, and tried again', async () => {
      const shop = await place();
      let failures = 0;
      const { lines } = leader({
        request: async (asked) => {
          if (asked.method === undefined && failures > 0) {
            failures -= 1;
            throw new KubeError('unreachable', 'no answer');
          }
          return await cluster.client.request(asked);
        },
      });
      await until(shop, holding({}));
      await sleep(200);
      failures = 1;
      await cluster.client.request({ method: 'DELETE', path: path(shop) });
      now += 30_000;
      await vi.waitFor(() => expect(failures).toBe(0), patience);
      expect(await specOf(shop)).toBeUndefined();
      now += 30_000;
      await until(shop, holding({}));
      expect(lines).toMatchObject([{ message: TOUCHED }]);
    });
  });

  it('a write that is refused: tried again after half a minute', async () => {
    const shop = await place();
    let refusals = 1;
    leader({
      request: async (asked) => {
        if (asked.method === 'PATCH' && refusals > 0) {
          refusals -= 1;
          throw new KubeError('forbidden', 'podresolvers is forbidden');
        }
        return await cluster.client.request(asked);
      },
    });
    await vi.waitFor(() => expect(refusals).toBe(0), patience);
    await sleep(200);
    expect(await specOf(shop)).toBeUndefined();
    now += 30_000;
    await until(shop, holding({}));
  });

  it('a container with a very long text: its image is left out, and the log says so', async () => {
    const shop = await place();
    const writer = leader();
    known.set('long:1', 'musl');
    known.set('short:1', 'musl');
    writer.offer({ request: { ...request('long:1'), args: ['x'.repeat(5000)] } }, workload(shop));
    writer.offer({ request: request('short:1') }, workload(shop));
    await until(shop, holding({ 'short:1': 'musl' }));
    expect(writer.lines).toMatchObject([{ fields: { namespace: shop } }]);
  });

  it('an image that was looked up and is of no use to the policy: its own key', async () => {
    const shop = await place();
    const writer = leader();
    known.set('odd:1', 'unknown');
    writer.offer({ request: request('odd:1') }, workload(shop));
    writer.offer({ request: request('later:1') }, workload(shop));
    await until(shop, holding({ 'odd:1 unknown': 'unknown' }));
    expect(await specOf(shop)).toMatchObject({ count: 1, leftOut: 0 });
  });

  describe('more images than an object holds: the least used are left out', () => {
    const long = 'x'.repeat(400);
    const name = (index: number): string => `registry.test/${long}-${index}/a:${index}`;

    /** Offers 3000 images, of which about 2000 have room, and returns the numbers of those that are in the object. */
    async function kept(
      use: (index: number) => readonly Parameters<typeof workload>[1][],
      minor = '36',
    ): Promise<readonly number[]> {
      const shop = await place();
      const writer = leader({
        request: <T>(asked: KubeRequest) =>
          asked.path === '/version' ? Promise.resolve({ minor } as T) : cluster.client.request<T>(asked),
      });
      for (let index = 0; index < 3000; index += 1) {
        known.set(name(index), index === 1 ? 'unknown' : 'musl');
        for (const more of use(index)) writer.offer({ request: request(name(index)) }, workload(shop, more));
      }
      await until(
        shop,
        expect.objectContaining({ leftOut: expect.toSatisfy((left: number) => left > 500) as unknown }),
      );
      const spec = await specOf(shop);
      return Object.keys(spec?.images ?? {}).map((key) => Number(key.slice(key.lastIndexOf(':') + 1).split(' ')[0]));
    }

    it.each([
      ['36', 2000],
      ['37+', 450],
      ['', 450],
    ])('Kubernetes 1.%s: about %i images of this length', async (minor, about) => {
      const numbers = await kept((index) => [{ workload: `w${index}`, pods: 1 }], minor);
      expect(numbers.length).toBeGreaterThan(about * 0.9);
      expect(numbers.length).toBeLessThan(about * 1.1);
    });

    it('a version that cannot be read for once changes nothing', async () => {
      const shop = await place();
      let isBroken = false;
      const writer = leader({
        request: async <T>(asked: KubeRequest) => {
          if (asked.path !== '/version') return await cluster.client.request<T>(asked);
          if (isBroken) throw new KubeError('unreachable', 'no answer');
          return { minor: '36' } as T;
        },
      });
      const offer = (index: number): void => {
        known.set(name(index), 'musl');
        writer.offer({ request: request(name(index)) }, workload(shop));
      };
      for (let index = 0; index < 300; index += 1) offer(index);
      await until(shop, expect.objectContaining({ count: 300 }));
      isBroken = true;
      now += 31_000;
      await new Promise((resolve) => setTimeout(resolve, 300));
      offer(300);
      await until(shop, expect.objectContaining({ count: 301, leftOut: 0 }));
    });

    it('by the Pods that their workloads ask for', async () => {
      const numbers = await kept((index) => [{ workload: `w${index}`, pods: index === 0 ? 2 : 1 }]);
      expect(numbers).toEqual(expect.arrayContaining([0, 2999]));
      expect(numbers).not.toContain(2);
    });

    it('by the number of their workloads: one that offers it twice counts once', async () => {
      const numbers = await kept((index) => {
        if (index === 0) return [{ workload: 'a' }, { workload: 'b' }];
        return index === 2 ? [{ workload: 'a' }, { workload: 'a' }] : [{ workload: 'a' }];
      });
      expect(numbers).toContain(0);
      expect(numbers).not.toContain(2);
    });

    it('one that is of no use to the policy before all others', async () => {
      const numbers = await kept((index) => [{ workload: 'a', pods: index === 1 ? 100 : 1 }]);
      expect(numbers).not.toContain(1);
    });
  });

  it('more images of a namespace than are known of: those of the fewest Pods are forgotten', async () => {
    const shop = await place();
    const writer = leader();
    for (let index = 0; index < 11_000; index += 1) {
      writer.offer({ request: request(`i:${index}`) }, workload(shop, { pods: index === 0 ? 2 : 1 }));
    }
    known.set('i:0', 'musl');
    known.set('i:1', 'musl');
    known.set('i:10999', 'musl');
    await until(shop, holding({ 'i:0': 'musl', 'i:10999': 'musl' }));
    expect(await specOf(shop)).toMatchObject({ count: 2 });
  });
});
