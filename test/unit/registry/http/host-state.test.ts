import { describe, expect, it } from 'vitest';

import { anonymous, basicAuthorization, createIdentities } from '../../../../src/registry/auth/credentials.ts';
import { createBreaker } from '../../../../src/registry/http/breaker.ts';
import { createGate } from '../../../../src/registry/http/gate.ts';
import { retryAfterMs } from '../../../../src/registry/http/host-state.ts';

const never = new AbortController().signal;

describe('a gate', () => {
  it('lets as many through as it has places, the rest in order', async () => {
    const gate = createGate(2, 10);
    const order: number[] = [];
    const leaves = await Promise.all([gate.enter({}, undefined, never), gate.enter({}, undefined, never)]);
    const waiting = [1, 2, 3].map(async (number) => {
      const leave = await gate.enter({}, undefined, never);
      order.push(number);
      leave?.();
    });
    await Promise.resolve();
    expect(order).toEqual([]);
    leaves[0]?.();
    leaves[0]?.();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
  });

  it('does not make an owner wait for itself', async () => {
    const gate = createGate(1, 10);
    const owner = {};
    const [first, second] = [await gate.enter(owner, undefined, never), await gate.enter(owner, undefined, never)];
    const other = gate.enter({}, undefined, never);
    first?.();
    await expect(Promise.race([other.then(() => 'in'), Promise.resolve('waits')])).resolves.toBe('waits');
    second?.();
    await expect(other).resolves.toBeTypeOf('function');
  });

  it('turns away who finds the queue full, and forgets who gives up', async () => {
    const gate = createGate(1, 1);
    const leave = await gate.enter({}, undefined, never);
    const controller = new AbortController();
    const waiting = gate.enter({}, undefined, controller.signal);
    await expect(gate.enter({}, undefined, never)).resolves.toBeUndefined();
    controller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    await expect(gate.enter({}, undefined, controller.signal)).rejects.toThrow('gone');
    const next = gate.enter({}, undefined, never);
    leave?.();
    await expect(next).resolves.toBeTypeOf('function');
  });
});

describe('a gate that namespaces share', () => {
  it('keeps places free beside one that takes all it gets, and serves the one with the fewest first', async () => {
    const gate = createGate(8, 100);
    const greedy = Array.from({ length: 10 }, () => gate.enter({}, 'greedy', never));
    await expect(gate.enter({}, 'other', never)).resolves.toBeTypeOf('function');
    await expect(gate.enter({}, 'third', never)).resolves.toBeTypeOf('function');
    const order: string[] = [];
    const note = async (name: string, entering: Promise<unknown>): Promise<void> => {
      await entering;
      order.push(name);
    };
    const late = [note('greedy', greedy[6]!), note('fourth', gate.enter({}, 'fourth', never))];
    (await greedy[0])?.();
    (await greedy[1])?.();
    (await greedy[2])?.();
    await Promise.all(late);
    expect(order).toEqual(['fourth', 'greedy']);
  });

  it('sends away one of the namespace with most waiting when the queue is full', async () => {
    const gate = createGate(1, 2);
    await gate.enter({}, 'greedy', never);
    const waiting = [gate.enter({}, 'greedy', never), gate.enter({}, 'greedy', never)];
    const other = gate.enter({}, 'other', never);
    await expect(waiting[1]).resolves.toBeUndefined();
    await expect(gate.enter({}, 'greedy', never)).resolves.toBeUndefined();
    await expect(Promise.race([other, Promise.resolve('waits')])).resolves.toBe('waits');
  });

  it('is idle once all have left', async () => {
    const gate = createGate(1, 2);
    expect(gate.isIdle()).toBe(true);
    const owner = {};
    const leaves = [await gate.enter(owner, 'a', never), await gate.enter(owner, 'a', never)];
    leaves[0]?.();
    leaves[0]?.();
    expect(gate.isIdle()).toBe(false);
    leaves[1]?.();
    expect(gate.isIdle()).toBe(true);
  });
});

describe('a breaker', () => {
  const setUp = () => {
    let now = 0;
    const states: string[] = [];
    const breaker = createBreaker({
      failures: 3,
      openMs: 100,
      clock: { monotonic: () => now },
      onChange: (s) => states.push(s),
    });
    const settle = (outcome: 'success' | 'failure' | 'unknown') => {
      const enter = breaker.enter();
      if (typeof enter === 'number') throw new Error(`closed for ${enter}`);
      enter(outcome);
    };
    const advance = (ms: number) => {
      now += ms;
    };
    return { breaker, states, settle, advance };
  };

  it('opens after failures in a row; a success in between starts over, an unknown does not count', () => {
    const { breaker, states, settle } = setUp();
    for (const outcome of ['failure', 'failure', 'success', 'failure', 'unknown', 'failure'] as const) settle(outcome);
    expect(states).toEqual([]);
    settle('failure');
    expect(states).toEqual(['open']);
    expect(breaker.enter()).toBe(100);
  });

  it('that needs several witnesses opens once there are, and forgets them at a success', () => {
    const states: string[] = [];
    const clock = { monotonic: () => 0 };
    const breaker = createBreaker({
      failures: 3,
      witnesses: 2,
      openMs: 1,
      clock,
      onChange: (state) => states.push(state),
    });
    const settle = (verdict: 'success' | 'failure', witness: string) => {
      const enter = breaker.enter();
      if (typeof enter === 'number') throw new Error(`closed for ${enter}`);
      enter(verdict, witness);
    };
    for (let count = 0; count < 10; count += 1) settle('failure', 'a');
    settle('success', 'b');
    for (const witness of ['b', 'b']) settle('failure', witness);
    expect(states).toEqual([]);
    settle('failure', 'a');
    expect(states).toEqual(['open']);
  });

  it('lets one request try, and closes or opens by its outcome', () => {
    const { breaker, states, settle, advance } = setUp();
    for (let count = 0; count < 3; count += 1) settle('failure');
    advance(100);
    const probe = breaker.enter();
    expect(breaker.enter()).toBeTypeOf('number');
    if (typeof probe === 'function') probe('unknown');
    settle('failure');
    expect(breaker.enter()).toBe(100);
    advance(100);
    settle('success');
    settle('failure');
    expect(states).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-11-20T12:00:00Z');
  it.each([
    ['0', 0],
    ['5', 5000],
    [' 5 ', 5000],
    ['999999999', 60_000],
    ['Fri, 20 Nov 2026 12:00:07 GMT', 7000],
    ['Fri, 20 Nov 2026 11:00:00 GMT', 0],
    ['Friday, 20-Nov-26 12:00:07 GMT', 7000],
    ['-5', 1000],
    ['1.5', 1000],
    ['soon', 1000],
    ['', 1000],
    [undefined, 1000],
  ])('%j is %d ms', (header, ms) => {
    expect(retryAfterMs(header, { now, fallback: 1000, longest: 60_000 })).toBe(ms);
  });
});

describe('identities', () => {
  it('are each login once, in order, then nobody, under keys that give nothing away', () => {
    const identities = createIdentities(3);
    const login = (username: string) => ({ username, password: 'hunter2' });
    const found = identities([login('a'), login('b'), login('a'), login('c'), login('d')]);
    expect(found.map(({ credential }) => credential?.username)).toEqual(['a', 'b', 'c', undefined]);
    expect(found.map(({ key }) => key).join()).not.toContain('hunter2');
    expect(new Set(found.map(({ key }) => key)).size).toBe(4);
    expect(createIdentities(3)([login('a')])[0]?.key).not.toBe(found[0]?.key);
  });

  it('have a Basic header where there is a name or a password', () => {
    expect(basicAuthorization(anonymous)).toBeUndefined();
    expect(
      basicAuthorization({ key: '', credential: { username: '', password: '', identityToken: 'x' } }),
    ).toBeUndefined();
    expect(basicAuthorization({ key: '', credential: { username: 'Aladdin', password: 'open sesame' } })).toBe(
      'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==',
    );
  });
});
