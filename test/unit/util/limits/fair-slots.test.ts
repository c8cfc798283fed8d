import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { createFairSlots, type FairSlots, type Release, type Slot } from '../../../../src/util/limits/fair-slots.ts';
import type { Tenant } from '../../../../src/util/limits/recent-use.ts';

afterEach(() => void vi.useRealTimers());

const never = new AbortController().signal;

/** Enters, and says where the slot was entered. */
async function enter(slots: FairSlots, tenant: Tenant, signal = never): Promise<Release | undefined> {
  return await slots.enter(tenant, signal)?.entered;
}

const isSettled = async (promise: Promise<unknown> | undefined): Promise<boolean> =>
  await Promise.race([Promise.resolve(promise).then(() => true), turn().then(() => false)]);

async function turn(): Promise<void> {
  for (let count = 0; count < 5; count += 1) await Promise.resolve();
}

describe('slots', () => {
  it('go to a person as long as there are any', async () => {
    const slots = createFairSlots({ places: 3, queue: 1, first: 'oldest' });
    await Promise.all([1, 2, 3].map(() => enter(slots, undefined)));
    expect(slots.hasRoom(undefined)).toBe(false);
    expect(slots.enter(undefined, never)).toBeDefined();
    expect(slots.enter(undefined, never)).toBeUndefined();
  });

  it.each([
    [1, 1],
    [2, 1],
    [4, 3],
    [8, 6],
    [12, 9],
    [32, 24],
  ])('%i: one tenant alone gets %i', async (places, most) => {
    const slots = createFairSlots({ places, queue: 100, first: 'oldest' });
    for (let count = 0; count < places; count += 1) slots.enter('a', never);
    expect([slots.held('a'), slots.waiting()]).toEqual([most, places - most]);
  });

  it('go to the tenant with the fewest, then to the one that used the least, then by age within one', async () => {
    const slots = createFairSlots({ places: 1, queue: 10, first: 'newest' });
    const release = await enter(slots, 'busy');
    await new Promise((resolve) => setTimeout(resolve, 5));
    const order: string[] = [];
    const queue = async (tenant: string, name: string): Promise<void> => {
      const leave = await enter(slots, tenant);
      order.push(name);
      leave?.();
    };
    const all = [queue('busy', 'busy 1'), queue('busy', 'busy 2'), queue('new', 'new 1'), queue('new', 'new 2')];
    expect(slots.next()?.tenant).toBe('new');
    release?.();
    release?.();
    await Promise.all(all);
    expect(order).toEqual(['new 2', 'new 1', 'busy 2', 'busy 1']);
    expect([slots.held('busy'), slots.waiting(), slots.next()]).toEqual([0, 0, undefined]);
  });

  it('that are waited for in vain are forgotten', async () => {
    const slots = createFairSlots({ places: 1, queue: 1, first: 'oldest' });
    const release = await enter(slots, 'a');
    const controller = new AbortController();
    const waiting = enter(slots, 'b', controller.signal);
    controller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(slots.waiting()).toBe(0);
    release?.();
    expect(slots.hasRoom('c')).toBe(true);
  });

  it('that two tenants wait for are entered once, at the turn of either', async () => {
    const slots = createFairSlots({ places: 2, queue: 5, first: 'oldest' });
    const release = await enter(slots, 'a');
    const shared = slots.enter('a', never);
    expect(await isSettled(shared?.entered)).toBe(false);
    shared?.share('b');
    const leave = await shared?.entered;
    expect([shared?.tenant(), slots.held('a'), slots.held('b'), slots.waiting()]).toEqual(['b', 1, 1, 0]);
    release?.();
    leave?.();
    expect([slots.held('a'), slots.held('b')]).toEqual([0, 0]);
  });

  it('that were waited for are charged to a tenant that joins later, if it holds fewer', async () => {
    const slots = createFairSlots({ places: 3, queue: 5, first: 'oldest' });
    const releases = await Promise.all([enter(slots, 'a'), enter(slots, 'a')]);
    const waiting = slots.enter('a', never);
    releases[0]?.();
    await waiting?.entered;
    expect([waiting?.isWaiting(), slots.held('a')]).toEqual([false, 2]);
    waiting?.share('b');
    expect([waiting?.tenant(), slots.held('a'), slots.held('b')]).toEqual(['b', 1, 1]);
    waiting?.share('c');
    expect(waiting?.tenant()).toBe('b');
  });
});

describe('slots that doubtful work may hold', () => {
  const doubtful = () => true;

  it('are shared by tenants like all slots, and the rest stays free for other work', async () => {
    const slots = createFairSlots({ places: 32, doubtful: 16, queue: 100, first: 'newest' });
    for (let count = 0; count < 32; count += 1) slots.enter('a', never, doubtful);
    expect(slots.held('a')).toBe(12);
    for (let count = 0; count < 32; count += 1) slots.enter(`b-${count}`, never, doubtful);
    expect([slots.waiting(), slots.hasRoom('c', true), slots.hasRoom('c')]).toEqual([48, false, true]);
    const other = await Promise.all(Array.from({ length: 12 }, () => enter(slots, 'c')));
    expect(other).toHaveLength(12);
    expect([slots.next()?.tenant, slots.next(true)?.tenant]).toEqual([undefined, 'b-4']);
  });

  it('that are given back go to doubtful work that waits, others past it', async () => {
    const slots = createFairSlots({ places: 2, doubtful: 1, queue: 10, first: 'oldest' });
    const release = await enter(slots, 'a');
    const doubt = await slots.enter('b', never, doubtful)?.entered;
    const [second, third] = [slots.enter('c', never, doubtful)?.entered, slots.enter('d', never)?.entered];
    release?.();
    expect([await isSettled(second), await isSettled(third)]).toEqual([false, true]);
    doubt?.();
    expect(await isSettled(second)).toBe(true);
  });

  it('leave part of the queue: there doubtful work takes the places of doubtful work alone', () => {
    const slots = createFairSlots({ places: 2, doubtful: 1, queue: 6, first: 'newest' });
    for (const tenant of ['x', 'y']) slots.enter(tenant, never);
    for (let count = 0; count < 3; count += 1) slots.enter('known', never);
    for (let count = 0; count < 3; count += 1) expect(slots.enter('a', never, doubtful)).toBeDefined();
    expect(slots.isFull(true)).toBe(true);
    expect(slots.enter('known', never, doubtful)).toBeDefined();
    expect(slots.enter('a', never, doubtful)).toBeUndefined();
    expect(slots.waiting()).toBe(6);
  });
});

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ enter: fc.constantFrom('a', 'b', 'c', 'd', undefined), isDoubtful: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ leave: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ abandon: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ share: fc.nat(40), by: fc.constantFrom('a', 'b', 'c', 'd') }) },
);

interface Piece {
  readonly slot: Slot;
  readonly isDoubtful: boolean;
  readonly controller: AbortController;
  release?: Release;
  state: 'waiting' | 'running' | 'over';
}

function begin(slots: FairSlots, tenant: Tenant, isDoubtful: boolean): Piece | undefined {
  const controller = new AbortController();
  const slot = slots.enter(tenant, controller.signal, () => isDoubtful);
  if (slot === undefined) return undefined;
  const piece: Piece = { slot, isDoubtful, controller, state: 'waiting' };
  const entered = (release: Release | undefined): void => {
    piece.state = release === undefined ? 'over' : 'running';
    if (release !== undefined) piece.release = release;
  };
  slot.entered.then(entered, () => void (piece.state = 'over'));
  return piece;
}

const sizes = fc
  .record({ places: fc.integer({ min: 1, max: 9 }), queue: fc.integer({ min: 0, max: 12 }), part: fc.nat(8) })
  .map(({ places, queue, part }) => ({ places, queue, doubtful: Math.min(places, part + 1) }));
const order = fc.constantFrom<'oldest' | 'newest'>('oldest', 'newest');

describe('whatever tenants do', () => {
  it('no more run than there are places, none of a tenant waits that has room, and all end', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, order, fc.array(step, { maxLength: 60 }), async (size, first, steps) => {
        const { places, queue, doubtful } = size;
        const slots = createFairSlots({ ...size, first });
        const pieces: Piece[] = [];
        const at = (index: number): Piece | undefined => pieces[index % Math.max(1, pieces.length)];
        for (const each of steps) {
          if ('enter' in each)
            pieces.push(...[begin(slots, each.enter, each.isDoubtful)].filter((piece) => piece !== undefined));
          else if ('abandon' in each) at(each.abandon)?.controller.abort(new Error('gone'));
          else if ('share' in each) at(each.share)?.slot.share(each.by);
          else {
            const piece = at(each.leave);
            piece?.release?.();
            if (piece?.state === 'running') piece.state = 'over';
          }
          await turn();
          const running = pieces.filter(({ state }) => state === 'running');
          const waiting = pieces.filter(({ state }) => state === 'waiting');
          const held = ['a', 'b', 'c', 'd', undefined].map((tenant) => slots.held(tenant));
          expect(running.length).toBeLessThanOrEqual(places);
          expect(running.filter(({ isDoubtful }) => isDoubtful).length).toBeLessThanOrEqual(doubtful);
          expect(held.reduce((sum, count) => sum + count, 0)).toBe(running.length);
          expect(slots.waiting()).toBe(waiting.length);
          expect(waiting.length).toBeLessThanOrEqual(queue);
          expect(waiting.some(({ slot, isDoubtful }) => slots.hasRoom(slot.tenant(), isDoubtful))).toBe(false);
        }
        while (pieces.some(({ state }) => state === 'running')) {
          for (const piece of pieces.filter(({ state }) => state === 'running')) {
            piece.release?.();
            piece.state = 'over';
          }
          await turn();
        }
        expect([slots.waiting(), pieces.filter(({ state }) => state === 'waiting').length]).toEqual([0, 0]);
      }),
      { numRuns: 200 },
    );
  });

  it('no tenant starves: beside n greedy ones each gets its share of the turns', async () => {
    const plan = fc.record({ places: fc.integer({ min: 1, max: 8 }), greedy: fc.integer({ min: 1, max: 6 }) });
    vi.useFakeTimers();
    await fc.assert(
      fc.asyncProperty(plan, order, async ({ places, greedy }, first) => {
        const slots = createFairSlots({ places, queue: 64, first });
        const running: { readonly tenant: string; readonly release: Release }[] = [];
        const want = (tenant: string): boolean => {
          const slot = slots.enter(tenant, never);
          const run = async (): Promise<void> => {
            const release = await slot?.entered;
            if (release !== undefined) running.push({ tenant, release });
          };
          void run();
          return slot !== undefined;
        };
        const fill = (): void => {
          for (let name = 0; name < greedy; name += 1) while (want(`greedy-${name}`));
        };
        let turns = 0;
        for (let served = 0; served < 5; served += 1) {
          fill();
          expect(want('modest')).toBe(true);
          await turn();
          while (!running.some(({ tenant }) => tenant === 'modest')) {
            vi.advanceTimersByTime(100);
            running.shift()?.release();
            turns += 1;
            // It holds none while it waits: nobody is served twice before it.
            expect(turns).toBeLessThanOrEqual(5 * (greedy + 1));
            fill();
            await turn();
          }
          // As long as anybody else.
          const [modest] = running.splice(
            running.findIndex(({ tenant }) => tenant === 'modest'),
            1,
          );
          vi.advanceTimersByTime(100);
          modest?.release();
        }
      }),
      { numRuns: 100 },
    );
  });
});
