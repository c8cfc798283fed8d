import { describe, expect, it } from 'vitest';

import { createOneByOne } from '../../../../src/detection/reader/one-by-one.ts';
import { expectNothingUnhandled, noDeadline, sleep } from '../support.ts';

expectNothingUnhandled();

/** Work that notes when it begins, and ends when it is told to, or is aborted. */
function createWork() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      begun.push(name);
      ends.set(name, () => resolve(name));
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  return { begun, work, end: (name: string) => ends.get(name)?.() };
}

describe('work that is done one by one', () => {
  it('look-ups whose process ended come first, then suspects, then those of distrusted namespaces, then scans', async () => {
    const { begun, work, end } = createWork();
    const queue = createOneByOne({ mostMs: 1000 });
    const all = [
      queue.run('suspect', noDeadline, work('running')),
      queue.run('scan', noDeadline, work('scan')),
      queue.run('distrusted', noDeadline, work('distrusted')),
      queue.run('suspect', noDeadline, work('suspect')),
      queue.run('innocent', noDeadline, work('innocent')),
    ];
    for (const name of ['running', 'innocent', 'suspect', 'distrusted', 'scan']) {
      await expect.poll(() => begun.at(-1)).toBe(name);
      end(name);
    }
    expect(await Promise.all(all)).toEqual(['running', 'scan', 'distrusted', 'suspect', 'innocent']);
    expect(begun).toEqual(['running', 'innocent', 'suspect', 'distrusted', 'scan']);
  });

  it('a scan gives way to a look-up, and begins anew after it', async () => {
    const { begun, work, end } = createWork();
    const queue = createOneByOne({ mostMs: 1000 });
    const scan = queue.run('scan', noDeadline, work('scan'));
    const lookUp = queue.run('innocent', noDeadline, work('look-up'));
    await expect.poll(() => begun).toEqual(['scan', 'look-up']);
    end('look-up');
    expect(await lookUp).toBe('look-up');
    await expect.poll(() => begun).toEqual(['scan', 'look-up', 'scan']);
    end('scan');
    expect(await scan).toBe('scan');
  });

  it('a look-up that takes long is given up once others wait, not before', async () => {
    const { begun, work, end } = createWork();
    const queue = createOneByOne({ mostMs: 20 });
    const slow = queue.run('innocent', noDeadline, work('slow'));
    await sleep(60);
    expect(begun).toEqual(['slow']);
    const next = queue.run('suspect', noDeadline, work('next'));
    await expect(slow).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('20 ms') });
    end('next');
    expect(await next).toBe('next');
  });

  it('what is told to stop while it waits never begins', async () => {
    const { begun, work, end } = createWork();
    const queue = createOneByOne({ mostMs: 1000 });
    const first = queue.run('innocent', noDeadline, work('first'));
    const stop = new AbortController();
    const second = queue.run('innocent', stop.signal, work('second'));
    stop.abort(new Error('too late'));
    await expect(second).rejects.toThrow('too late');
    end('first');
    await first;
    await sleep(5);
    expect(begun).toEqual(['first']);
  });

  it('a failure is passed on, and the next has its turn', async () => {
    const queue = createOneByOne({ mostMs: 1000 });
    const failing = queue.run('innocent', noDeadline, () => Promise.reject(new Error('broken')));
    const next = queue.run('scan', noDeadline, async () => 'next');
    await expect(failing).rejects.toThrow('broken');
    expect(await next).toBe('next');
  });
});
