import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import type { KubeRequest } from '../../../src/kubernetes/client.ts';
import { KubeError, type KubeErrorCode } from '../../../src/kubernetes/errors.ts';
import { createWriteQueue, type WriteQueueOptions } from '../../../src/kubernetes/write-queue.ts';
import type { Span } from '../../../src/telemetry/tracing.ts';
import { recordingTrouble } from './recording-trouble.ts';

const free = { wait: () => 0, take: () => {}, giveBack: () => {} };

/** A queue before an API that answers as it is told to. */
function queueWith(change: Partial<WriteQueueOptions> = {}) {
  const sent: string[] = [];
  const told: string[] = [];
  const counted: string[] = [];
  const api: { fails?: KubeErrorCode; hangs?: boolean; slow?: boolean } = {};
  const request = async <T>({ path, signal }: KubeRequest): Promise<T> => {
    sent.push(path);
    if (api.hangs === true) {
      await new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
      });
    }
    if (api.slow === true) await sleep(10);
    if (api.fails !== undefined) throw new KubeError(api.fails, 'no');
    return await Promise.resolve(undefined as T);
  };
  const queue = createWriteQueue({
    client: { request },
    ready: Promise.resolve(),
    pace: free,
    most: 3,
    refusals: new Set(['conflict']),
    backoff: { first: 10, most: 20 },
    trouble: recordingTrouble(told),
    onRefused: (name, { code }) => void told.push(`refused ${name} ${code}`),
    count: (result) => void counted.push(result),
    ...change,
  });
  const add = (name: string, path = name): void => queue.add(name, () => ({ path }));
  return { queue, api, sent, told, counted, add };
}

describe('writes', () => {
  it('are traced, each attempt by itself', async () => {
    const spans: string[] = [];
    const trace = (name: string): Span => ({
      traceId: undefined,
      set: () => {},
      link: () => {},
      fail: (code) => void spans.push(`${name} failed ${code}`),
      end: () => void spans.push(`${name} ended`),
    });
    const { add, api, queue, told } = queueWith({ trace });
    api.fails = 'unreachable';
    add('a');
    await expect.poll(() => told).toContain('lost unreachable');
    delete api.fails;
    await expect.poll(() => spans).toEqual(['a failed unreachable', 'a ended', 'a ended']);
    await queue.close(0);
  });

  it('go out one after the other, the newest of each name', async () => {
    const { add, sent, queue } = queueWith();
    add('a', 'old');
    add('b');
    add('a', 'new');
    expect(queue.waiting).toBe(2);
    await expect.poll(() => sent).toEqual(['b', 'new']);
    add('c');
    await expect.poll(() => sent).toEqual(['b', 'new', 'c']);
  });

  it('are planned when their turn comes, and are none where nothing is left to write', async () => {
    const { queue, sent, add } = queueWith();
    queue.add('a', () => undefined);
    add('b');
    await expect.poll(() => sent).toEqual(['b']);
  });

  it('wait until all is ready, and for the pace', async () => {
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    let tokens = 1;
    const pace = {
      ...free,
      wait: () => (tokens > 0 ? 0 : 20),
      take: () => {
        tokens -= 1;
      },
    };
    const { add, sent, queue } = queueWith({ ready, pace });
    add('a');
    add('b');
    await sleep(20);
    expect(sent).toEqual([]);
    resolve();
    await expect.poll(() => sent).toEqual(['a']);
    expect(queue.waiting).toBe(1);
    await queue.close(1000);
    expect(sent).toEqual(['a', 'b']);
  });

  it('give way to newer ones where too many wait', async () => {
    const { add, sent, counted, queue } = queueWith({ ready: new Promise(() => undefined) });
    for (const name of ['a', 'b', 'c', 'd', 'e']) add(name);
    expect([counted, queue.waiting]).toEqual([['dropped', 'dropped'], 3]);
    await queue.close(1000);
    expect(sent).toEqual(['c', 'd', 'e']);
  });

  it('that are refused are over, the others go on', async () => {
    const { add, api, told, counted, sent } = queueWith();
    api.fails = 'conflict';
    add('a');
    await expect.poll(() => told).toEqual(['refused a conflict']);
    delete api.fails;
    add('b');
    await expect.poll(() => counted).toEqual(['conflict', 'written']);
    expect([told, sent]).toEqual([['refused a conflict'], ['a', 'b']]);
  });

  it.each<KubeErrorCode>(['forbidden', 'unreachable', 'timeout', 'server', 'throttled', 'not-found', 'malformed'])(
    'that fail for everyone (%s) are tried again, which is told once and counted each time',
    async (code) => {
      const { add, api, told, counted, sent } = queueWith();
      api.fails = code;
      add('a');
      add('b');
      await expect.poll(() => sent.length).toBeGreaterThan(4);
      expect(told).toEqual([`lost ${code}`]);
      delete api.fails;
      const failed = counted.length;
      await expect.poll(() => counted.slice(failed)).toEqual(['written', 'written']);
      expect(counted.slice(0, failed)).toEqual(counted.slice(0, failed).map(() => code));
      expect(sent.slice(failed).toSorted()).toEqual(['a', 'b']);
      expect(told).toEqual([`lost ${code}`, 'recovered']);
    },
  );

  it('that fail do not displace what was said since', async () => {
    const { add, api, sent, queue } = queueWith();
    api.fails = 'server';
    api.slow = true;
    add('a', 'old');
    await expect.poll(() => sent).toEqual(['old']);
    add('a', 'new');
    await sleep(15);
    delete api.fails;
    await expect.poll(() => sent).toEqual(['old', 'new']);
    expect(queue.waiting).toBe(0);
  });
});

describe('the end', () => {
  it('writes what waits, without waiting', async () => {
    const { add, sent, queue } = queueWith({ pace: { ...free, wait: () => 60_000 } });
    for (const name of ['a', 'b', 'c']) add(name);
    await queue.close(1000);
    expect(sent).toEqual(['a', 'b', 'c']);
    add('d');
    expect(queue.waiting).toBe(0);
  });

  it('tries each once where nothing can be written', async () => {
    const { add, api, sent, queue } = queueWith({ backoff: { first: 60_000, most: 60_000 } });
    api.fails = 'unreachable';
    for (const name of ['a', 'b', 'c']) add(name);
    await queue.close(1000);
    expect(sent).toEqual(['a', 'b', 'c']);
  });

  it('does not wait for an API that hangs', async () => {
    const { add, api, told, counted, queue } = queueWith();
    api.hangs = true;
    add('a');
    add('b');
    await queue.close(30);
    expect([told, counted]).toEqual([[], []]);
  });
});
