import { once } from 'node:events';

import { afterEach, describe, expect, it, vi } from 'vitest';

import type { KubeClient, KubeRequest } from '../../../src/kubernetes/client.ts';
import { KubeError, type KubeErrorCode } from '../../../src/kubernetes/errors.ts';
import { createLeader, type Leader } from '../../../src/kubernetes/leader.ts';
import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { recordingTrouble } from './recording-trouble.ts';

/** Attempts follow each other in real time; what has run out is decided by clocks that tests turn. */
const TIMING = { durationMs: 30_000, renewMs: 20_000, retryMs: 20 };

interface Spec {
  holderIdentity?: string;
  leaseTransitions?: number;
  leaseDurationSeconds?: number;
  renewTime?: string;
}

/** One Lease as the API server keeps it: a write that names another version than the present one is refused. */
function leaseApi() {
  let lease: KubeObject | undefined;
  let version = 0;
  const calls: string[] = [];
  const store = (object: KubeObject): KubeObject => {
    version += 1;
    lease = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    return lease;
  };
  const answer = ({ method = 'GET', body }: KubeRequest): KubeObject => {
    if (method === 'POST') {
      if (lease !== undefined) throw new KubeError('conflict', 'already exists');
      return store(body as KubeObject);
    }
    if (lease === undefined) throw new KubeError('not-found', 'leases "leader" not found');
    if (method === 'GET') return lease;
    const sent = body as KubeObject;
    if (sent.metadata.resourceVersion !== lease.metadata.resourceVersion) throw new KubeError('conflict', 'modified');
    return store(sent);
  };
  return {
    calls,
    spec: () => (lease?.['spec'] ?? {}) as Spec,
    lease: () => lease,
    edit: (change: (lease: KubeObject) => KubeObject) => lease && store(change(lease)),
    remove: () => {
      lease = undefined;
    },
    put: (spec: unknown) => store({ metadata: { name: 'leader', namespace: 'here' }, spec }),
    answer,
  };
}

type Api = ReturnType<typeof leaseApi>;

function replica(api: Api, identity: string, more: Pick<Parameters<typeof createLeader>[0], 'onStopped'> = {}) {
  const events: string[] = [];
  const state = { wall: 1_700_000_000_000, monotonic: 0 };
  const line: { failure?: KubeErrorCode; losesAnswers?: boolean; hangs?: boolean } = {};
  const request = async (asked: KubeRequest): Promise<KubeObject> => {
    api.calls.push(`${identity} ${asked.method ?? 'GET'}`);
    await Promise.resolve();
    if (line.failure !== undefined) throw new KubeError(line.failure, line.failure);
    const result = api.answer(asked);
    if (line.hangs === true)
      await once(asked.signal!, 'abort').then(() => Promise.reject(asked.signal!.reason as Error));
    if (line.losesAnswers === true && asked.method !== undefined) throw new KubeError('timeout', 'no answer in time');
    return result;
  };
  const leader = createLeader({
    client: { request } as Pick<KubeClient, 'request'>,
    namespace: 'here',
    name: 'leader',
    identity,
    clock: { now: () => state.wall, monotonic: () => state.monotonic },
    timing: TIMING,
    onStarted: () => events.push('started'),
    onStopped: (why) => void events.push(`stopped: ${why}`),
    onLeader: (name) => events.push(`leader ${name}`),
    trouble: recordingTrouble(events),
    ...more,
  });
  open.push(leader);
  const advance = (ms: number): void => {
    state.wall += ms;
    state.monotonic += ms;
  };
  return { leader, events, line, state, advance };
}

/** The machine may be busy. */
function expectSoon(value: () => unknown) {
  return expect.poll(value, { timeout: 15_000 });
}

const open: Leader[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((leader) => leader.close()));
});

const leads = async ({ leader }: { leader: Leader }): Promise<void> => {
  await expectSoon(() => leader.isLeader()).toBe(true);
};

/** Until a replica has made some more calls. */
async function callsOf(api: Api, identity: string, count = 3): Promise<void> {
  const made = (): number => api.calls.filter((call) => call.startsWith(`${identity} `)).length;
  const before = made();
  await expectSoon(made).toBeGreaterThanOrEqual(before + count);
}

describe('of two replicas', () => {
  it('one leads, and says so in the Lease', async () => {
    const api = leaseApi();
    const [a, b] = [replica(api, 'a'), replica(api, 'b')];
    await expectSoon(() => a.leader.isLeader() || b.leader.isLeader()).toBe(true);
    await callsOf(api, 'a');
    await callsOf(api, 'b');
    const names = [a, b].map(({ leader }) => leader.isLeader());
    expect(names.filter(Boolean).length).toBe(1);
    const [first, second] = names[0] === true ? [a, b] : [b, a];
    expect(first.events).toEqual(['started']);
    expect(second.events).toEqual([`leader ${names[0] === true ? 'a' : 'b'}`]);
    expect(api.spec()).toMatchObject({
      holderIdentity: names[0] === true ? 'a' : 'b',
      leaseDurationSeconds: 30,
      leaseTransitions: 0,
      renewTime: '2023-11-14T22:13:20.000000Z',
    });
  });

  it('the other leads as soon as the first is closed', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    const b = replica(api, 'b');
    await callsOf(api, 'b');
    await a.leader.close();
    expect(a.events).toEqual(['started', 'stopped: shutting down']);
    expect(a.leader.isLeader()).toBe(false);
    await leads(b);
    expect(api.spec()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1, leaseDurationSeconds: 30 });
  });

  it('the other waits for as long as the Lease lasts where the first has vanished', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    a.line.failure = 'unreachable';
    const b = replica(api, 'b');
    await callsOf(api, 'b');
    b.advance(29_000);
    await callsOf(api, 'b');
    expect(b.leader.isLeader()).toBe(false);
    b.advance(1000);
    await leads(b);
  });

  it('neither is misled by the clock of the other', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    const b = replica(api, 'b');
    b.state.wall += 3_600_000;
    for (let step = 0; step < 5; step += 1) {
      await callsOf(api, 'a', 2);
      b.advance(20_000);
      await callsOf(api, 'b', 2);
    }
    expect([a.leader.isLeader(), b.leader.isLeader()]).toEqual([true, false]);
  });
});

describe('a leader stops', () => {
  it('when it cannot renew, before anybody else may lead', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    a.line.failure = 'unreachable';
    await expectSoon(() => a.events).toContain('lost unreachable');
    a.advance(19_999);
    expect(a.leader.isLeader()).toBe(true);
    a.advance(1);
    expect(a.leader.isLeader()).toBe(false);
    await expectSoon(() => a.events).toContain('stopped: the Lease was not renewed in time');
    expect(a.events.filter((event) => event.startsWith('lost'))).toEqual(['lost unreachable']);
    delete a.line.failure;
    await leads(a);
    expect(a.events.slice(-2)).toEqual(['recovered', 'started']);
  });

  it.each([
    ['process was stopped', { wall: 60_000, monotonic: 60_000 }],
    ['machine was suspended', { wall: 60_000, monotonic: 0 }],
    ['wall clock was set back meanwhile', { wall: -3_600_000, monotonic: 60_000 }],
  ])('at once on waking, where its %s', async (_, { wall, monotonic }) => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    a.state.wall += wall;
    a.state.monotonic += monotonic;
    expect(a.leader.isLeader()).toBe(false);
    api.edit((lease) => ({ ...lease, spec: { ...(lease['spec'] as Spec), holderIdentity: 'b' } }));
    await expectSoon(() => a.events).toContain('leader b');
    expect(a.events[1]).toMatch(/^stopped/);
  });

  it('when its renewal was under way while it was suspended', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    const request = vi.spyOn(api, 'answer');
    await leads(a);
    request.mockImplementationOnce(() => {
      a.advance(60_000);
      return api.lease()!;
    });
    await expectSoon(() => a.events.some((event) => event.startsWith('stopped'))).toBe(true);
  });

  it('when another name stands in the Lease', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    api.edit((lease) => ({ ...lease, spec: { ...(lease['spec'] as Spec), holderIdentity: 'by-hand' } }));
    await expectSoon(() => a.events).toEqual(['started', 'stopped: by-hand has taken the Lease', 'leader by-hand']);
    expect(a.leader.isLeader()).toBe(false);
  });

  it('and does not free the Lease where what it began does not end', async () => {
    const api = leaseApi();
    const a = replica(api, 'a', { onStopped: () => Promise.reject(new Error('still busy')) });
    await leads(a);
    await a.leader.close();
    expect(api.spec().holderIdentity).toBe('a');
  });
});

describe('a leader goes on', () => {
  it('when the Lease is deleted', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    api.remove();
    await expectSoon(() => api.spec().holderIdentity).toBe('a');
    expect([a.leader.isLeader(), a.events]).toEqual([true, ['started']]);
  });

  it('when somebody edits the Lease, whose other fields stay', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    api.edit((lease) => ({
      ...lease,
      metadata: { ...lease.metadata, annotations: { note: 'kept' } },
      spec: { ...(lease['spec'] as Spec), strategy: 'OldestEmulationVersion' },
    }));
    await callsOf(api, 'a', 4);
    expect([a.leader.isLeader(), a.events]).toEqual([true, ['started']]);
    expect(api.lease()).toMatchObject({
      metadata: { annotations: { note: 'kept' } },
      spec: { holderIdentity: 'a', strategy: 'OldestEmulationVersion' },
    });
  });

  it('when the answers to its writes are lost for a while', async () => {
    const api = leaseApi();
    const a = replica(api, 'a');
    await leads(a);
    a.line.losesAnswers = true;
    await callsOf(api, 'a', 4);
    a.line.losesAnswers = false;
    await expectSoon(() => a.events).toContain('recovered');
    expect([a.leader.isLeader(), a.events]).toEqual([true, ['started', 'lost timeout', 'recovered']]);
  });
});

describe('nobody leads', () => {
  it.each(['forbidden', 'unreachable', 'server', 'unauthorized'] as const)(
    'while the API server says %s; that is told once, and tried on',
    async (code) => {
      const api = leaseApi();
      const a = replica(api, 'a');
      a.line.failure = code;
      await callsOf(api, 'a', 4);
      expect([a.leader.isLeader(), a.events]).toEqual([false, [`lost ${code}`]]);
      delete a.line.failure;
      await leads(a);
      expect(a.events).toEqual([`lost ${code}`, 'recovered', 'started']);
    },
  );
});

describe('a Lease that is not as it should be', () => {
  it.each([
    ['without a specification', undefined],
    ['that is not an object', 'mine'],
    ['with values of other types', { holderIdentity: 7, leaseTransitions: 'many' }],
    ['that was freed', { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 4 }],
  ])('%s is taken', async (_, spec) => {
    const api = leaseApi();
    api.put(spec);
    await leads(replica(api, 'a'));
    expect(api.spec()).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 30 });
  });

  it.each([
    ['for 68 years', 2_147_483_647, 4 * 30_000],
    ['for no time', 0, 30_000],
    ['for less than no time', -5, 30_000],
  ])('says that it lasts %s: it is waited for within reason', async (_, leaseDurationSeconds, waitMs) => {
    const api = leaseApi();
    api.put({ holderIdentity: 'gone', leaseDurationSeconds });
    const a = replica(api, 'a');
    await callsOf(api, 'a');
    a.advance(waitMs - 1);
    await callsOf(api, 'a');
    expect(a.leader.isLeader()).toBe(false);
    a.advance(1);
    await leads(a);
  });
});

it('closing ends a call under way, and may be asked for twice', async () => {
  const api = leaseApi();
  const a = replica(api, 'a');
  await leads(a);
  a.line.hangs = true;
  await callsOf(api, 'a', 1);
  await Promise.all([a.leader.close(), a.leader.close()]);
  expect([a.leader.isLeader(), a.events]).toEqual([false, ['started', 'stopped: shutting down']]);
});
