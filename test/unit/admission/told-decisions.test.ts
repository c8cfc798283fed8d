import { expect, it } from 'vitest';

import { createEvaluator } from '../../../src/admission/evaluate.ts';
import { createMutate } from '../../../src/admission/mutate.ts';
import type { ToldDecision } from '../../../src/policy/model.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { everyLine } from '../../support/every-line.ts';
import { enforced, facts, policy } from '../../support/policy.ts';
import { podReview } from '../../support/reviews.ts';

async function toldOf(request: Record<string, unknown>): Promise<ToldDecision[]> {
  const told: ToldDecision[] = [];
  const verdicts = { platform: { os: 'linux', architecture: 'amd64' } };
  const mutate = createMutate({
    evaluator: createEvaluator({ config: policy(), cluster: () => facts, verdicts }),
    namespaces: { get: (name) => enforced(name) },
    budget: 1000,
    warnings: false,
    verified: false,
    metrics: createMetrics('test'),
    log: everyLine({ level: 'silent', format: 'json' }),
    onDecided: (one) => told.push(one),
  });
  await mutate(Buffer.from(JSON.stringify(podReview({ request }))), '', 0);
  return told;
}

it("a decision is passed on with the Pod's owners and the namespace of the request", async () => {
  const owners = [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'u', controller: true }];
  const { object } = podReview({ metadata: { ownerReferences: owners } }).request;
  const [one, ...others] = await toldOf({ object });
  expect(others).toEqual([]);
  expect(one).toMatchObject({ namespace: 'shop', decision: { reason: 'UnknownOptions' }, owners });
});

it('a rehearsal is not passed on, nor what is no creation of a Pod', async () => {
  expect(await toldOf({ dryRun: true })).toEqual([]);
  expect(await toldOf({ operation: 'UPDATE' })).toEqual([]);
});
