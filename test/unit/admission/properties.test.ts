import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { describe, expect, it } from 'vitest';

import { createEvaluate } from '../../../src/admission/evaluate.ts';
import type { ClusterFacts, PolicyConfig } from '../../../src/policy/model.ts';
import { readPod } from '../../../src/policy/read-pod.ts';
import { nodeLocalAddresses } from '../../../src/policy/redirect.ts';
import { optionName } from '../../support/api-pods.ts';
import { enforced, facts, policy } from '../../support/policy.ts';

/** Any Pod the API server could send: valid DNS settings, strange everything else. */
const address = fc.oneof(
  fc.ipV4(),
  fc.constantFrom('10.96.0.10', '169.254.20.10', 'fd00:10:96::a', '192.0.2.1', '192.0.2.2'),
);
const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/);
const search = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.')),
  fc.constant('svc.cluster.local'),
);
const option = fc.record(
  {
    name: optionName,
    value: fc.option(fc.constantFrom('1', '2', '5', '')),
  },
  { requiredKeys: ['name'] },
);
const dnsConfig = fc.record(
  {
    nameservers: fc.option(fc.uniqueArray(address, { maxLength: 3 })),
    searches: fc.option(fc.array(search, { maxLength: 32 })),
    options: fc.option(fc.array(option, { maxLength: 6 })),
    future: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const libc = fc.constantFrom('glibc', 'musl', 'go', 'other', 'wrong');
const pod = fc.record({
  metadata: fc.record(
    {
      name: label,
      labels: fc.dictionary(label, label),
      annotations: fc.option(
        fc.record(
          {
            'libc-dns.dev/libc': libc,
            'libc-dns.dev/libc.c0': libc,
            'libc-dns.dev/decision': fc.constantFrom('x', '{"remedy":["redirect"]}', '{"remedy":["sidecar"]}'),
            'libc-dns.dev/remedy': fc.constantFrom('sidecar', 'sidecar', 'wrong'),
            'libc-dns.dev/corefile': fc.string(),
            other: fc.string(),
          },
          { requiredKeys: [] },
        ),
      ),
    },
    { requiredKeys: [] },
  ),
  spec: fc.record(
    {
      containers: fc.array(
        fc.record({
          name: fc.integer({ min: 0, max: 3 }).map((index) => `c${index}`),
          image: fc.constant('x'),
          ports: fc.constantFrom([], [{ containerPort: 80 }], [{ containerPort: 53 }]),
        }),
        { maxLength: 4 },
      ),
      initContainers: fc.option(
        fc.array(
          fc.constantFrom('i', 'libc-dns-cache').map((name) => ({ name, image: 'y', restartPolicy: 'Always' })),
          { maxLength: 1 },
        ),
      ),
      dnsPolicy: fc.constantFrom('ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'),
      dnsConfig: fc.option(dnsConfig),
      hostNetwork: fc.boolean(),
      nodeSelector: fc.constantFrom({}, { type: 'virtual-kubelet' }),
      volumes: fc.option(
        fc.array(fc.record({ name: fc.constantFrom('v', 'libc-dns-cache'), emptyDir: fc.constant({}) }), {
          maxLength: 1,
        }),
      ),
      resources: fc.constantFrom({}, { limits: { cpu: '1' } }),
      future: fc.jsonValue(),
    },
    { requiredKeys: ['containers'] },
  ),
});

/** Pods with musl and a resolver that asks in order, and with nameservers that the cluster knows, too. */
const mixedPod = fc
  .record({
    other: fc.constantFrom('glibc', 'go', 'other'),
    nameservers: fc.uniqueArray(
      fc.constantFrom('192.0.2.1', '192.0.2.2', '10.96.0.10', 'fd00:10:96::a', '169.254.20.10', '169.254.25.10'),
      { maxLength: 3 },
    ),
  })
  .map(({ other, nameservers }) => ({
    metadata: { annotations: { 'libc-dns.dev/libc.c0': 'musl', 'libc-dns.dev/libc.c1': other } },
    spec: { containers: ['c0', 'c1'].map((name) => ({ name, image: 'x' })), dnsConfig: { nameservers } },
  }));

const cluster: fc.Arbitrary<ClusterFacts> = fc.record(
  {
    dns: fc.constantFrom(['10.96.0.10'], ['10.96.0.10', 'fd00:10:96::a'], ['169.254.20.10'], []),
    domain: fc.constantFrom('cluster.local', 'prod.k8s.example', ''),
    nodeSearches: fc.array(search, { maxLength: 12 }),
    dnsOverTcp: fc.boolean(),
    nodeLocal: fc.constantFrom('ready', 'unready', 'absent', 'intercepting', 'unknown'),
    searchesAssumed: fc.boolean(),
    nativeSidecars: fc.boolean(),
    nodeLocalAddresses: fc.constantFrom([], ['169.254.25.10'], ['169.254.20.10', '169.254.25.10']),
  },
  { requiredKeys: ['dns', 'domain', 'nodeSearches', 'dnsOverTcp', 'nodeLocal'] },
);

const config: fc.Arbitrary<PolicyConfig> = fc
  .record({
    remedy: fc.constantFrom('auto', 'redirect', 'retry', 'none'),
    mixedPods: fc.constantFrom('redirect', 'retry'),
    mode: fc.constantFrom('auto', 'on'),
    addresses: fc.constantFrom(['169.254.20.10'], ['169.254.20.10', 'fd00::10']),
    fallback: fc.boolean(),
    extraNameservers: fc.constantFrom([], ['192.0.2.1'], ['192.0.2.2', '10.96.0.10', '192.0.2.1']),
    virtualNodes: fc.constantFrom('none', 'sidecar'),
  })
  .map(({ remedy, mixedPods, extraNameservers, virtualNodes, ...nodeLocal }) =>
    policy({ musl: { ...policy().musl, remedy, extraNameservers }, mixedPods, nodeLocal, virtualNodes }),
  );

const ALLOWED = /^\/(spec\/dns(Policy|Config)(\/|$)|metadata\/annotations(\/libc-dns\.dev~1decision)?$)/;

/** What the cache in the Pod adds besides. */
const ALLOWED_WITH_SIDECAR =
  /^\/(spec\/(initContainers(\/0)?|volumes(\/-)?)|metadata\/annotations\/libc-dns\.dev~1corefile)$/;

const DOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

type Json = Record<string, unknown>;

async function answer(object: unknown, known: ClusterFacts, settings: PolicyConfig) {
  const evaluate = createEvaluate({
    config: settings,
    cluster: () => known,
    verdicts: { platform: { os: 'linux', architecture: 'amd64' } },
  });
  const evaluation = await evaluate(object, enforced(), { budgetMs: 1000 });
  const patched: unknown = jsonPatch.applyPatch(structuredClone(object), evaluation.patch, true, true).newDocument;
  return { ...evaluation, patched };
}

/** core/v1 validatePodDNSConfig, for the parts that our patch may have made wrong. */
function expectValid(before: ReturnType<typeof readPod>, after: ReturnType<typeof readPod>): void {
  const { nameservers, searches, options } = after.dnsConfig;
  expect(nameservers.length).toBeLessThanOrEqual(3);
  expect(searches.length).toBeLessThanOrEqual(Math.max(32, before.dnsConfig.searches.length));
  expect(searches.join(' ').length).toBeLessThanOrEqual(Math.max(2048, before.dnsConfig.searches.join(' ').length));
  for (const item of searches) expect(DOMAIN.test(item)).toBe(true);
  for (const item of options) expect(item.name).not.toBe('');
  if (after.dnsPolicy === 'None' && before.dnsPolicy !== 'None') expect(nameservers.length).toBeGreaterThan(0);
}

/** Every item of `before` stands in `after`, and in the same order. */
function expectKept(before: readonly unknown[], after: readonly unknown[]): void {
  const text = after.map((item) => JSON.stringify(item));
  let from = 0;
  for (const item of before) {
    const at = text.indexOf(JSON.stringify(item), from);
    expect(at).toBeGreaterThanOrEqual(from);
    from = at + 1;
  }
}

describe('for any Pod, cluster and configuration', () => {
  const runs = { numRuns: 2000 };

  it('applying twice equals applying once', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const once = await answer(object, known, settings);
        const twice = await answer(once.patched, known, settings);
        expect(twice.patch).toEqual([]);
        expect(twice.patched).toEqual(once.patched);
      }),
      runs,
    );
  });

  it('nothing is patched while exposure is auto and no node is exposed; else exposure makes no difference', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const auto: PolicyConfig = { ...settings, exposure: 'auto' };
        const { patch, decision } = await answer(object, { ...known, exposed: false }, auto);
        expect([patch, decision.remedy]).toEqual([[], []]);
        const always = await answer(object, known, settings);
        expect((await answer(object, { ...known, exposed: false }, settings)).patch).toEqual(always.patch);
        for (const other of [known, { ...known, exposed: true }]) {
          expect((await answer(object, other, auto)).patch).toEqual(always.patch);
        }
      }),
      runs,
    );
  });

  it('the patch touches only the DNS settings and our own annotation, and adds at most the cache', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const { patch, patched, decision } = await answer(object, known, settings);
        const isAdded = patch.length > 0 && decision.change?.sidecar !== undefined;
        const others = patch.filter(({ path }) => !(isAdded && ALLOWED_WITH_SIDECAR.test(path)));
        for (const operation of others) expect(operation.path).toMatch(ALLOWED);
        // A search written twice is written once by the kubelet, and so by a redirect.
        for (const { op, path } of patch) if (op === 'remove') expect(path).toMatch(/^\/spec\/dnsConfig\/searches\//);
        const strip = (value: unknown, isOurs: (item: { name: string }) => boolean): unknown => {
          const { metadata = {}, spec = {} } = structuredClone(value) as { metadata?: Json; spec?: Json };
          const annotations = { ...(metadata['annotations'] as Json | null) };
          delete annotations['libc-dns.dev/decision'];
          if (isAdded) delete annotations['libc-dns.dev/corefile'];
          const named = (field: string) => (spec[field] ?? []) as { name: string }[];
          const [initContainers, volumes] = [named('initContainers'), named('volumes')].map((items) =>
            items.filter((item) => !isOurs(item)),
          );
          const without = { ...spec, dnsPolicy: 0, dnsConfig: 0, initContainers, volumes };
          return { spec: without, metadata: { ...metadata, annotations } };
        };
        expect(strip(patched, ({ name }) => isAdded && name === 'libc-dns-cache')).toEqual(strip(object, () => false));
      }),
      runs,
    );
  });

  it('under a redirect, resolvers that ask in order ask the same server first as before', async () => {
    await fc.assert(
      fc.asyncProperty(mixedPod, cluster, config, async (object, known, settings) => {
        const { decision, resolvConf } = await answer(object, known, settings);
        if (known.dns.length === 0 || !decision.remedy.includes('redirect')) return;
        const { before, after } = resolvConf();
        // Without fallback the cache may stand in for the cluster DNS.
        const standIns = settings.nodeLocal.fallback ? [] : [...nodeLocalAddresses(known, settings), ...known.dns];
        const expected = [...before.servers.slice(0, 1), ...standIns];
        expect(expected).toContain(after.servers[0]);
      }),
      runs,
    );
  });

  it('user values survive, unknown fields too', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const { patched, resolvConf } = await answer(object, known, settings);
        const [before, after] = [readPod(object), readPod(patched)];
        for (const item of before.dnsConfig.nameservers) expect(after.dnsConfig.nameservers).toContain(item);
        const caches = nodeLocalAddresses(known, settings);
        const files = resolvConf();
        const isTheirs = (server: string) => before.dnsConfig.nameservers.includes(server) && !caches.includes(server);
        expectKept(files.before.servers.filter(isTheirs), files.after.servers);
        expectKept(before.dnsConfig.options, after.dnsConfig.options);
        for (const item of before.dnsConfig.searches) expect(after.dnsConfig.searches).toContain(item);
        const dns = (value: unknown) =>
          ((value as { spec: { dnsConfig?: Json | null } }).spec.dnsConfig ?? {})['future'];
        expect(dns(patched)).toEqual(dns(object));
      }),
      runs,
    );
  });

  it("the result satisfies the API server's rules for dnsConfig", async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const { patched } = await answer(object, known, settings);
        expectValid(readPod(object), readPod(patched));
      }),
      runs,
    );
  });

  it('no value is added that breaks a resolver, and no redirect leaves musl without its search line', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const evaluation = await answer(object, known, settings);
        const { decision } = evaluation;
        const resolvConf = evaluation.resolvConf();
        const musl = decision.containers.some((container) => container.resolver === 'musl');
        const isMusl = decision.containers.every((container) => container.resolver === 'musl');
        for (const { name, value } of decision.change?.options ?? []) {
          if (name === 'attempts') expect(Number(value)).toBeGreaterThanOrEqual(1);
          if (name === 'timeout') expect(Number(value)).toBeGreaterThanOrEqual(musl ? 5 : 1);
          if (name === 'ndots') expect(resolvConf.before.options).toContain(`ndots:${value}`);
          if (name === 'use-vc') expect(known.dnsOverTcp).toBe(true);
          if (name === 'use-vc' && isMusl) expect(readPod(object).dnsConfig.nameservers).toEqual([]);
          if (name === 'timeout') expect(resolvConf.before.options.join(' ')).not.toContain('timeout');
        }
        if (decision.change?.dnsPolicy !== 'None') return;
        expect(`search ${resolvConf.after.searches.join(' ')}\n`.length).toBeLessThanOrEqual(255);
        expect(resolvConf.after.searches).toEqual(resolvConf.before.searches);
        expect(resolvConf.after.options).toEqual(expect.arrayContaining([...resolvConf.before.options]));
      }),
      runs,
    );
  });
});

describe('for any Pod', () => {
  const runs = { numRuns: 2000 };

  it('Go alone is left as it is, unless the Pod asks for a cache of its own', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const { decision, patch } = await answer(object, known, settings);
        const asks = readPod(object).annotations['libc-dns.dev/remedy'] === 'sidecar';
        if (asks || !decision.containers.every(({ resolver }) => resolver === 'go')) return;
        expect(patch).toEqual([]);
      }),
      runs,
    );
  });

  it('without a redirect the same servers are asked in the same order, others only behind them', async () => {
    await fc.assert(
      fc.asyncProperty(pod, cluster, config, async (object, known, settings) => {
        const { decision, resolvConf } = await answer(object, known, settings);
        if (decision.change?.dnsPolicy === 'None' || readPod(object).dnsPolicy === 'None') return;
        const { before, after } = resolvConf();
        expect(after.servers.slice(0, before.servers.length)).toEqual(before.servers);
        const added = after.servers.slice(before.servers.length);
        expect(settings.musl.extraNameservers).toEqual(expect.arrayContaining(added));
      }),
      runs,
    );
  });
});

describe('for anything at all', () => {
  it('an evaluation never rejects', async () => {
    const evaluate = createEvaluate({
      config: policy(),
      cluster: () => facts,
      verdicts: { platform: { os: 'linux', architecture: 'amd64' } },
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.jsonValue(), fc.record({ metadata: fc.jsonValue(), spec: fc.jsonValue() })),
        async (value) => {
          const { patch } = await evaluate(value, enforced(), { budgetMs: 10 });
          expect(Array.isArray(patch)).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
