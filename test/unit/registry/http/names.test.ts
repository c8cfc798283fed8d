import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { defaultLimits } from '../../../../src/registry/http/limits.ts';
import { createNames, type Names, type ResolvedAddress, threadsForNames } from '../../../../src/registry/http/names.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const here: readonly ResolvedAddress[] = [{ address: '192.0.2.1', family: 4 }];
const { signal } = new AbortController();
const failed = (code: string): Error => Object.assign(new Error(code), { code });

/** A getaddrinfo that answers when the test says so, and counts. */
function setUp(threads = 4, limits = defaultLimits) {
  const asked: string[] = [];
  const pending = new Map<string, PromiseWithResolvers<readonly ResolvedAddress[]>>();
  const names = createNames({
    getaddrinfo: (hostname) => {
      asked.push(hostname);
      const answer = Promise.withResolvers<readonly ResolvedAddress[]>();
      pending.set(hostname, answer);
      return answer.promise;
    },
    threads,
    limits,
    clock: { monotonic: () => performance.now() },
  });
  return {
    names,
    asked,
    answer: (name: string) => pending.get(name)?.resolve(here),
    refuse: (name: string, code: string) => pending.get(name)?.reject(failed(code)),
  };
}

const outcome = async (resolving: Promise<void>): Promise<string> =>
  await resolving.then(
    () => 'found',
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
const ask = async (names: Names, name: string, tenant?: string): Promise<string> =>
  await outcome(names.resolve(name, { signal, ...(tenant !== undefined && { tenant }) }));

describe('name look-ups', () => {
  it.each([
    [1, 1],
    [2, 1],
    [4, 2],
    [8, 6],
    [16, 12],
  ])('of a pool of %i threads take %i at most', (threads, most) => {
    expect(threadsForNames(threads)).toBe(most);
  });

  it('never take more threads than that, whoever asks', async () => {
    const { names, asked } = setUp(16);
    for (let index = 0; index < 40; index += 1) void ask(names, `name-${index}`, `tenant-${index % 20}`);
    await vi.advanceTimersByTimeAsync(100);
    expect(asked).toHaveLength(12);
  });

  it('of one name at a time are one, and are used for 10 s', async () => {
    const { names, asked, answer } = setUp();
    const all = [1, 2, 3].map(() => ask(names, 'a.example'));
    await vi.advanceTimersByTimeAsync(0);
    answer('a.example');
    expect(await Promise.all(all)).toEqual(['found', 'found', 'found']);
    expect(names.found('a.example')).toEqual(here);
    await vi.advanceTimersByTimeAsync(9000);
    expect(await ask(names, 'a.example')).toBe('found');
    expect(asked).toEqual(['a.example']);
    await vi.advanceTimersByTimeAsync(2000);
    void ask(names, 'a.example');
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toHaveLength(2);
  });

  it.each(['ENOTFOUND', 'EAI_AGAIN'])('that fail with %s are not tried again for 10 s', async (code) => {
    const { names, asked, refuse } = setUp();
    const first = ask(names, 'gone.example');
    await vi.advanceTimersByTimeAsync(0);
    refuse('gone.example', code);
    expect(await first).toBe('unavailable');
    expect(await ask(names, 'gone.example')).toBe('unavailable');
    expect(asked).toHaveLength(1);
    expect(() => names.found('gone.example')).toThrow('gone.example');
    await vi.advanceTimersByTimeAsync(10_001);
    void ask(names, 'gone.example');
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toHaveLength(2);
  });

  it('are given up after 3 s; the next ones fail at once, and cost no other thread', async () => {
    const { names, asked, refuse } = setUp();
    const first = ask(names, 'silent.example');
    await vi.advanceTimersByTimeAsync(2990);
    expect(asked).toEqual(['silent.example']);
    await vi.advanceTimersByTimeAsync(20);
    expect(await first).toBe('unavailable');
    expect(await ask(names, 'silent.example')).toBe('unavailable');
    await vi.advanceTimersByTimeAsync(10_000);
    refuse('silent.example', 'EAI_AGAIN');
    expect(await ask(names, 'silent.example')).toBe('unavailable');
    await vi.advanceTimersByTimeAsync(9000);
    expect(await ask(names, 'silent.example')).toBe('unavailable');
    expect(asked).toHaveLength(1);
  });

  it('that waited for others all the time are shed, not held against the name', async () => {
    const { names, asked } = setUp(4);
    for (const name of ['dead-1', 'dead-2']) void ask(names, name, name);
    const waiting = ask(names, 'good.example', 'other');
    await vi.advanceTimersByTimeAsync(3010);
    expect(await waiting).toBe('shed');
    expect(asked).toEqual(['dead-1', 'dead-2']);
    expect(() => names.found('good.example')).toThrow('good.example was not looked up');
  });

  it('that got their thread late are shed too', async () => {
    const { names, asked, refuse } = setUp(4);
    for (const name of ['dead-1', 'dead-2']) void ask(names, name, name);
    const waiting = ask(names, 'good.example', 'other');
    await vi.advanceTimersByTimeAsync(2000);
    refuse('dead-1', 'ENOTFOUND');
    await vi.advanceTimersByTimeAsync(1010);
    expect(asked).toEqual(['dead-1', 'dead-2', 'good.example']);
    expect(await waiting).toBe('shed');
  });

  it('leave a thread to another namespace, and fail at once where a namespace has but silent ones', async () => {
    const { names, asked, answer } = setUp(4);
    const dead = Array.from({ length: 32 }, (_, index) => ask(names, `dead-${index}`, 'greedy'));
    await vi.advanceTimersByTimeAsync(10);
    expect(asked).toEqual(['dead-0']);
    const good = ask(names, 'good.example', 'other');
    await vi.advanceTimersByTimeAsync(0);
    answer('good.example');
    expect(await good).toBe('found');
    await vi.advanceTimersByTimeAsync(3000);
    expect(new Set(await Promise.all(dead.slice(1)))).toEqual(new Set(['shed']));
    expect(await ask(names, 'dead-33', 'greedy')).toBe('shed');
    expect(asked).toEqual(['dead-0', 'good.example']);
  });

  it('take the addresses found before where the DNS fails or is silent, for ten minutes', async () => {
    const { names, answer, refuse } = setUp();
    const first = ask(names, 'a.example');
    await vi.advanceTimersByTimeAsync(0);
    answer('a.example');
    expect(await first).toBe('found');
    await vi.advanceTimersByTimeAsync(60_000);
    const second = ask(names, 'a.example');
    await vi.advanceTimersByTimeAsync(310);
    expect(await second).toBe('found');
    refuse('a.example', 'EAI_AGAIN');
    await vi.advanceTimersByTimeAsync(10);
    expect(await ask(names, 'a.example')).toBe('found');
    expect(names.found('a.example')).toEqual(here);
    await vi.advanceTimersByTimeAsync(600_000);
    const last = ask(names, 'a.example');
    await vi.advanceTimersByTimeAsync(3010);
    expect(await last).toBe('unavailable');
    expect(() => names.found('a.example')).toThrow('a.example');
  });

  it('do not take them where the DNS says that there is no such name any more', async () => {
    const { names, answer, refuse } = setUp();
    const first = ask(names, 'a.example');
    await vi.advanceTimersByTimeAsync(0);
    answer('a.example');
    await first;
    await vi.advanceTimersByTimeAsync(11_000);
    const second = ask(names, 'a.example');
    await vi.advanceTimersByTimeAsync(0);
    refuse('a.example', 'ENOTFOUND');
    expect(await second).toBe('unavailable');
  });

  it('whose callers have gone do not take a thread any more', async () => {
    const { names, asked, refuse } = setUp(2);
    void ask(names, 'dead', 'a');
    const leaving = new AbortController();
    const waiting = outcome(names.resolve('given-up', { signal: leaving.signal, tenant: 'b' }));
    await vi.advanceTimersByTimeAsync(10);
    leaving.abort(new Error('gone'));
    expect(await waiting).toBe('gone');
    refuse('dead', 'ENOTFOUND');
    await vi.advanceTimersByTimeAsync(10);
    expect(asked).toEqual(['dead']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('are remembered for so many names only', async () => {
    const { names, answer } = setUp(4, { ...defaultLimits, hosts: 10 });
    for (let index = 0; index < 20; index += 1) {
      const looked = ask(names, `name-${index}`);
      await vi.advanceTimersByTimeAsync(0);
      answer(`name-${index}`);
      await looked;
    }
    expect(names.found('name-19')).toEqual(here);
    expect(() => names.found('name-9')).toThrow('name-9');
  });
});
