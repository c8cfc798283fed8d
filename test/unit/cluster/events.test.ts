import { afterEach, describe, expect, it } from 'vitest';

import { createDecisionEvents, type DecisionEvents } from '../../../src/cluster/events.ts';
import type { Decision, ToldDecision } from '../../../src/policy/model.ts';
import { createTokenBucket } from '../../../src/util/limits/token-bucket.ts';
import { decideFor } from '../../support/policy.ts';
import { type Recording, recordingReporter } from '../../support/recording-reporter.ts';
import { type Asked, type SmallApi, startSmallApi, status } from '../kubernetes/small-api.ts';

const EVENTS = '/api/v1/namespaces/shop/events';
const SET = '/apis/apps/v1/namespaces/shop/replicasets/web-abc';

let api: SmallApi;
let events: DecisionEvents;
let report: Recording;
let at: number;

afterEach(async () => {
  await events.close();
  await api.close();
});

const ref = (kind: string, name: string, uid = `uid-${name}`, apiVersion = 'apps/v1') => ({
  apiVersion,
  kind,
  name,
  uid,
  controller: true,
});

const deploymentOf = ({ send }: Asked): void =>
  send({ metadata: { name: 'web-abc', uid: 'uid-web-abc', ownerReferences: [ref('Deployment', 'web')] } });

const STATEFUL_SET = /^\/apis\/apps\/v1\/namespaces\/shop\/statefulsets\/(.*)$/;

/** What the API server has, unless a test says otherwise: StatefulSets of any name, and room for Events. */
function usual(path: string): ((asked: Asked) => void) | undefined {
  const [, name] = STATEFUL_SET.exec(path) ?? [];
  if (name !== undefined) return ({ send }) => send({ metadata: { name, uid: `uid-${name}` } });
  return path === EVENTS ? ({ send }) => send({ metadata: {} }, 201) : undefined;
}

async function start(
  answers: Readonly<Record<string, (asked: Asked) => void>> = {},
  { burst = 100, verified = false } = {},
): Promise<void> {
  api = await startSmallApi((asked) => {
    const answer = answers[asked.path] ?? usual(asked.path);
    if (answer === undefined) asked.send(status(404, 'not found'), 404);
    else answer(asked);
  });
  report = recordingReporter(() => at);
  at = 0;
  const clock = { now: () => Date.parse('2026-11-21T00:30:00Z') + at, monotonic: () => at };
  events = createDecisionEvents({
    client: api.client,
    clock,
    pace: createTokenBucket({ perSecond: 1, burst, clock }),
    instance: 'replica-1',
    verified,
    reporter: report.reporter,
  });
}

const AUDIT: Decision = { ...decideFor({ resolvers: ['musl'] }), mode: 'audit' };

const told = (owner: object = ref('ReplicaSet', 'web-abc'), decision: Decision = AUDIT): ToldDecision => ({
  owners: [owner],
  namespace: 'shop',
  decision,
});

const written = (): Record<string, unknown>[] =>
  api.asked.filter(({ path }) => path === EVENTS).map(({ body }) => JSON.parse(body) as Record<string, unknown>);

const names = (): unknown[] => written().map((event) => (event['metadata'] as { name?: unknown }).name);

/** What came of each attempt, as it is counted. */
const results = (): unknown[] => report.of('cluster.eventWritten').map(([result]) => result);

const settle = async (count: number): Promise<void> => await expect.poll(() => written().length).toBe(count);
const quiet = async (): Promise<void> => {
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
};

describe('Events on workloads', () => {
  it('are on the Deployment, and say what was decided', async () => {
    await start({ [SET]: deploymentOf });
    events.decided(told());
    await settle(1);
    expect(written()[0]).toMatchObject({
      involvedObject: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'uid-web', namespace: 'shop' },
      reason: 'MuslRetried',
      type: 'Normal',
      action: 'Audit',
      message: expect.stringMatching(/^would apply retry to a Pod: musl ignores .* \(c0 musl\)$/) as string,
      reportingInstance: 'replica-1',
    });
    await expect.poll(results).toEqual(['written']);
  });

  it('are on the ReplicaSet where it has no owner', async () => {
    await start({ [SET]: ({ send }) => send({ metadata: { uid: 'uid-web-abc' } }) });
    events.decided(told());
    await settle(1);
    expect(written()[0]).toMatchObject({ involvedObject: { kind: 'ReplicaSet', name: 'web-abc' } });
  });

  it.each<[string, Record<string, (asked: Asked) => void>]>([
    ['may not be read', { [SET]: ({ send }) => send(status(403, 'forbidden'), 403) }],
    ['cannot be read now', { [SET]: ({ send }) => send(status(500, 'no etcd'), 500) }],
    ['is no object', { [SET]: ({ send }) => send([]) }],
  ])('are on the ReplicaSet where it %s, if an API server vouches for the Pod', async (_what, answers) => {
    await start(answers, { verified: true });
    events.decided(told());
    await settle(1);
    expect(written()[0]).toMatchObject({ involvedObject: { kind: 'ReplicaSet', name: 'web-abc' } });

    await events.close();
    await api.close();
    await start(answers);
    events.decided(told());
    await expect.poll(results).toEqual(['unproven']);
    expect(written()).toEqual([]);
  });

  it.each<[string, Record<string, (asked: Asked) => void>]>([
    ['is not there', {}],
    [
      'is another one of that name',
      { [SET]: ({ send }) => send({ metadata: { uid: 'other', ownerReferences: [ref('Deployment', 'victim')] } }) },
    ],
  ])('are not written where the owner %s, for any caller; it is looked for once', async (_what, answers) => {
    for (const verified of [true, false]) {
      await start(answers, { verified });
      events.decided(told());
      await expect.poll(results).toEqual(['unproven']);
      events.decided(told(undefined, { ...AUDIT, reason: 'UnknownOptions' }));
      await expect.poll(results).toEqual(['unproven', 'unproven']);
      expect(api.asked.map(({ path }) => path)).toEqual([SET]);
      await events.close();
      await api.close();
    }
  });

  it('are on an owner of a kind that is not read only if an API server vouches for the Pod', async () => {
    const rollout = ref('Workflow', 'nightly', 'uid-nightly', 'argoproj.io/v1alpha1');
    await start({}, { verified: true });
    events.decided(told(rollout));
    await settle(1);
    expect(written()[0]).toMatchObject({ involvedObject: { kind: 'Workflow', name: 'nightly' } });
    await events.close();
    await api.close();
    await start();
    events.decided(told(rollout));
    await expect.poll(results).toEqual(['unproven']);
    expect(api.asked).toEqual([]);
  });

  it('a lie about a workload does not keep back the truth about it', async () => {
    await start({ [SET]: deploymentOf });
    events.decided(told(ref('ReplicaSet', 'other', 'uid-web-abc')));
    await expect.poll(results).toEqual(['unproven']);
    events.decided(told());
    await settle(1);
  });

  it('say what a look-up said only if an API server vouches for the Pod', async () => {
    const decision: Decision = { ...AUDIT, reason: 'UnknownOptions', message: 'refused', general: 'not known' };
    await start();
    events.decided(told(ref('StatefulSet', 'a'), decision));
    await settle(1);
    expect(written()[0]?.['message']).toMatch(/^would apply retry to a Pod: not known \(/);
    await events.close();
    await api.close();
    await start({}, { verified: true });
    events.decided(told(ref('StatefulSet', 'a'), decision));
    await settle(1);
    expect(written()[0]?.['message']).toMatch(/^would apply retry to a Pod: refused \(/);
  });

  it('come once an hour for a workload and a reason, however many Pods it has', async () => {
    await start({ [SET]: deploymentOf });
    for (let index = 0; index < 100; index += 1) events.decided(told());
    events.decided(told(undefined, { ...AUDIT, reason: 'UnknownOptions' }));
    await settle(2);
    expect(written()[1]).toMatchObject({ type: 'Warning' });
    at += 3_600_000;
    events.decided(told());
    await settle(3);
    // The ReplicaSet was read once.
    expect(api.asked.filter(({ path }) => path === SET)).toHaveLength(1);
  });

  it.each<[string, ToldDecision]>([
    ['nothing is done', told(undefined, { ...AUDIT, remedy: [] })],
    ['the mode is off', told(undefined, { ...AUDIT, mode: 'off' })],
    ['nothing owns the Pod', { ...told(), owners: undefined }],
    ['the owners are no list', { ...told(), owners: { 0: ref('ReplicaSet', 'x') } }],
    ['the owner is none', { ...told(), owners: [null] }],
    ['the owner is no controller', { ...told(), owners: [{ ...ref('ReplicaSet', 'x'), controller: false }] }],
    ['the name is none', told(ref('ReplicaSet', '../secrets/x'))],
    ['the uid is endless', told(ref('ReplicaSet', 'x', 'u'.repeat(65)))],
  ])('there are none where %s', async (_what, one) => {
    await start();
    events.decided(one);
    await quiet();
    expect(api.asked).toEqual([]);
  });

  it('wait for their turn, a hundred at most', async () => {
    await start({}, { burst: 1 });
    for (let index = 0; index < 150; index += 1) events.decided(told(ref('StatefulSet', `s-${index}`)));
    await settle(1);
    expect(results().filter((result) => result === 'dropped').length).toBeGreaterThanOrEqual(48);
    await events.close();
    expect(written()).toHaveLength(1);
  });

  it('that may not be written are not tried for five minutes', async () => {
    await start({ [EVENTS]: ({ send }) => send(status(403, 'cannot create events'), 403) });
    events.decided(told(ref('StatefulSet', 'a')));
    await expect.poll(results).toEqual(['forbidden']);
    expect(report.of('cluster.apiFailed')).toEqual([['events', 'forbidden']]);
    expect(report.lines).toMatchObject([
      { level: 'warn', message: 'Events on workloads cannot be written', fields: { code: 'forbidden' } },
    ]);
    events.decided(told(ref('StatefulSet', 'b')));
    await quiet();
    expect(written()).toHaveLength(1);
    at += 300_000;
    events.decided(told(ref('StatefulSet', 'c')));
    await settle(2);
  });

  it('that another replica has written already are no failure', async () => {
    await start({ [EVENTS]: ({ send }) => send(status(409, 'exists'), 409) });
    events.decided(told(ref('StatefulSet', 'a')));
    await settle(1);
    await quiet();
    expect([...report.lines, ...report.counted]).toEqual([]);
  });

  it('of replicas on the same workload and hour have one name', async () => {
    await start();
    events.decided(told(ref('StatefulSet', 'a')));
    await settle(1);
    const [first] = names();
    await events.close();
    await api.close();
    await start();
    events.decided(told(ref('StatefulSet', 'a')));
    await settle(1);
    expect(names()).toEqual([first]);
  });

  it('stop with the server, also while one hangs', async () => {
    await start({ [EVENTS]: () => {} });
    events.decided(told(ref('StatefulSet', 'a')));
    await settle(1);
    await events.close();
    events.decided(told(ref('StatefulSet', 'b')));
    expect([...report.lines, ...report.counted]).toEqual([]);
  });
});
