import fc from 'fast-check';
import jsonPatch from 'fast-json-patch';
import { expect, it } from 'vitest';

import { enforced } from '../../support/policy.ts';
import {
  CACHE,
  evaluatorOf,
  fileOf,
  objectOf,
  pod,
  reaches,
  readersOf,
  SERVICE,
  specs,
  works,
  world,
} from '../../support/egress-worlds.ts';

const patched = (object: object, patch: readonly unknown[]): unknown =>
  jsonPatch.applyPatch(structuredClone(object), patch as never, true, true).newDocument;

const runs = { numRuns: 3000 };

it('no patch takes away DNS that worked, whatever the policies', async () => {
  await fc.assert(
    fc.asyncProperty(pod, specs, world, async (given, policies, around) => {
      const object = objectOf(given);
      const { patch } = await evaluatorOf(policies, around)(object, enforced(), { budgetMs: 1000 });
      const [before, after] = [fileOf(object, around), fileOf(patched(object, patch), around)];
      for (const reader of given.resolvers.flatMap(readersOf)) {
        if (!works(reader, before, policies, around)) continue;
        expect([reader, works(reader, after, policies, around)]).toEqual([reader, true]);
      }
    }),
    runs,
  );
});

it('no server is asked over TCP that policies do not let the Pod reach so, and none alone', async () => {
  await fc.assert(
    fc.asyncProperty(pod, specs, world, async (given, policies, around) => {
      const object = objectOf(given);
      const { patch, decision } = await evaluatorOf(policies, around)(object, enforced(), { budgetMs: 1000 });
      const after = fileOf(patched(object, patch), around);
      if (decision.change?.options.some(({ name }) => name === 'use-vc')) {
        for (const server of after.servers)
          expect([server, reaches(server, 'TCP', policies, around)]).toEqual([server, true]);
      }
      if (decision.remedy.includes('redirect') && after.servers.length === 1) {
        expect(after.servers.map((server) => reaches(server, 'UDP', policies, around))).toEqual([true]);
      }
    }),
    runs,
  );
});

it('where policies do not stand in the way, nothing is held back', async () => {
  await fc.assert(
    fc.asyncProperty(pod, specs, world, async (given, policies, around) => {
      const allowing = [...policies, { podSelector: { matchLabels: {} }, policyTypes: ['Egress'], egress: [{}] }];
      const object = objectOf(given);
      const [all, none] = [evaluatorOf(allowing, around), evaluatorOf([], around)];
      const terms = { budgetMs: 1000 };
      const expected = await none(object, enforced(), terms);
      expect((await all(object, enforced(), terms)).decision).toEqual(expected.decision);
    }),
    runs,
  );
});

it('and policies that hold something back are rightly feared: each is one that denies a packet, or may', async () => {
  await fc.assert(
    fc.asyncProperty(pod, specs, world, async (given, policies, anywhere) => {
      const around = { ...anywhere, cilium: false };
      const object = objectOf(given);
      const { decision } = await evaluatorOf(policies, around)(object, enforced(), { budgetMs: 1000 });
      if (decision.reason !== 'TcpNotAllowed') return;
      const servers = [...around.facts.dns, CACHE, SERVICE];
      expect(servers.every((server) => reaches(server, 'TCP', policies, around))).toBe(false);
    }),
    runs,
  );
});
