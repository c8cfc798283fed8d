import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createEvaluate } from '../../src/admission/evaluate.ts';
import { UNKNOWN_REACH } from '../../src/cluster/reach/reach.ts';
import type { Detector } from '../../src/detection/detector.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import type { PolicyConfig } from '../../src/policy/model.ts';
import { type Resolver, unknownVerdict } from '../../src/policy/verdict.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import {
  asTheWebhook,
  type Dns,
  dnsOf,
  images,
  prepare,
  type Sent,
  sendDry,
  webhooksPod,
  withoutRequest,
} from '../support/admission-policy.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import {
  evaluatorOf,
  evaluatorWith,
  fileOf,
  objectOf,
  pod,
  readersOf,
  specs,
  works,
  world,
} from '../support/egress-worlds.ts';
import { installPodResolvers } from '../support/pod-resolvers.ts';
import { enforced, facts, policy, verdict, withNodeLocal } from '../support/policy.ts';

/** Each Pod that other tests create: made by `RECORD_PODS=FILE npx vitest run --project cluster` (support/pods.ts), without names. */
const recorded = JSON.parse(
  readFileSync(new URL('../fixtures/cluster-pods.json', import.meta.url), 'utf8'),
) as readonly Sent[];

const IMAGES = ['registry.test/app:1', 'registry.test/team/app:v1', 'registry.test/victim/app:v1'];

describe.runIf(hasCluster() && hasHelm())('Pods of other tests, through the policy of the API server', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await installPodResolvers(cluster);
    const rendered = renderText(['admissionPolicy.enabled=true'], ['-s', 'templates/admission-policy.yaml']);
    await cluster.apply(...objects(rendered));
  });
  afterAll(async () => await cluster?.stop());

  describe('network policies', () => {
    const WORLDS = Number(process.env['POLICY_WORLDS'] ?? 12);
    const worlds = fc.sample(world, { numRuns: WORLDS, seed: 1 });
    const pods = fc.sample(fc.tuple(pod, specs), { numRuns: WORLDS * 40, seed: 1 });

    const reasonOf = ({ decision }: Dns): unknown => (decision as { reason?: string } | null)?.reason;
    /** The policy does not see that a Pod has `use-vc` of its own, and says why it adds none. */
    const notAllowed = (dns: Dns): Dns =>
      dns.decision === null ? dns : { ...dns, decision: { ...(dns.decision as object), reason: 'TcpNotAllowed' } };

    it.each(worlds.map((one, index) => [index, one] as const))('cluster %i', async (index, around) => {
      const { facts: cluster_, config } = around;
      const name = (isFree: boolean): string => `${isFree ? 'free' : 'held'}-${index}`;
      for (const isFree of [true, false]) {
        const reach = isFree ? REACHES_ALL : UNKNOWN_REACH;
        await prepare(cluster, enforced(name(isFree)), { cluster: cluster_, config, reach }, images);
      }
      for (const [one, policies] of pods.slice(index * 40, index * 40 + 40)) {
        const namespace = name(policies.length === 0);
        const object = objectOf(one);
        const sent = withoutRequest({ ...object, metadata: { ...object.metadata, name: 'pod' } });
        const stored = await sendDry(cluster, namespace, sent);
        const expected = await webhooksPod(evaluatorOf(policies, around, namespace), sent, enforced(namespace));
        // Never worse than without us.
        const [before, after] = [fileOf(sent, around, namespace), fileOf(stored, around, namespace)];
        for (const reader of one.resolvers.flatMap(readersOf)) {
          if (!works(reader, before, policies, around)) continue;
          expect([reader, works(reader, after, policies, around), policies]).toEqual([reader, true, policies]);
        }
        if (isDeepStrictEqual(dnsOf(stored), dnsOf(expected))) continue;
        // Listed in docs/policy.md: nameservers of its own; a policy in the namespace, which counts for all Pods there.
        if (one.nameservers.length > 0) continue;
        expect(policies.length).toBeGreaterThan(0);
        const evaluate = evaluatorWith(() => UNKNOWN_REACH, around);
        const held = dnsOf(await webhooksPod(evaluate, sent, enforced(namespace)));
        const got = dnsOf(stored);
        const isAsked = one.options.includes('use-vc') && reasonOf(got) === 'TcpNotAllowed';
        expect([sent, got]).toEqual([sent, isAsked ? notAllowed(held) : held]);
      }
    });
  });

  describe.each<[string, PolicyConfig, Resolver | undefined]>([
    ['options, image of glibc', policy(), 'glibc'],
    ['options, image not known', policy(), undefined],
    ['redirect, image of musl', withNodeLocal(), 'musl'],
  ])('all Pods of the cluster tests: %s', (what, config, resolver) => {
    const namespace = enforced(what.replaceAll(/[^a-z]+/g, '-'));
    const detector: Detector = {
      detect: async ({ reference }) => ({
        verdict: resolver !== undefined && IMAGES.includes(reference) ? verdict(resolver) : unknownVerdict('not known'),
        decidedBy: 'entrypoint',
        from: 'memory',
        meter: { requests: 0, bytes: 0 },
      }),
    };
    const verdicts = { detector, platform: { os: 'linux', architecture: 'amd64' } };
    const evaluate = createEvaluate({ config, cluster: () => facts, verdicts });
    beforeAll(async () => {
      const known = IMAGES.flatMap((image) => (resolver === undefined ? [] : [[image, resolver] as const]));
      await prepare(cluster, namespace, { cluster: facts, config }, new Map(known));
    });

    it('as the webhook would, but for what docs/policy.md lists', async () => {
      let same = 0;
      for (const one of recorded) {
        const sent = { ...one, metadata: { ...one.metadata, name: 'pod' } };
        if (await asTheWebhook(cluster, namespace, sent, evaluate)) same += 1;
      }
      expect(recorded.length).toBeGreaterThan(100);
      expect(same).toBeGreaterThan(recorded.length * 0.8);
    }, 60_000);
  });
});
