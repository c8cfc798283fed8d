import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import type { ReflectorOptions } from '../../../src/kubernetes/reflector.ts';
import { recordingTrouble } from './recording-trouble.ts';
import { isWatch, reflect as reflectWith } from './reflecting.ts';
import { type Asked, listOf, type SmallApi, startSmallApi, status } from './small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** What the API answers: to lists, and to watches. */
interface Answers {
  list?: (asked: Asked) => void;
  watch?: (asked: Asked, nth: number) => void;
}

const LISTED = ({ send }: Asked): void => send(listOf(['a', 'b']));

async function start({ list = LISTED, watch = ({ open }) => open() }: Answers) {
  let watches = 0;
  const api = await startSmallApi((asked) => {
    if (isWatch(asked)) watch(asked, (watches += 1));
    else list(asked);
  });
  closers.push(() => api.close());
  return api;
}

function reflect(api: SmallApi, change: Partial<ReflectorOptions<string>> = {}) {
  const begun = reflectWith(api, (told) => ({ trouble: recordingTrouble(told), ...change }));
  closers.push(() => begun.reflector.close());
  return begun;
}

const object = (name: string, resourceVersion: string) => ({ metadata: { name, resourceVersion } });
const count = (api: SmallApi, which: (asked: Asked) => boolean): number => api.asked.filter(which).length;
const lists = (api: SmallApi): number => count(api, (asked) => !isWatch(asked));
const watches = (api: SmallApi): Asked[] => api.asked.filter(isWatch);

describe('the first list', () => {
  it('is read page by page, and watched from where it stood', async () => {
    const api = await start({
      list: ({ query, send }) => {
        const page = query.get('continue');
        if (page === null) send(listOf(['a', 'b'], { resourceVersion: '10', continue: 'next & more' }));
        else send(listOf(['c'], { resourceVersion: '10', continue: '' }));
      },
    });
    const { reflector, events } = reflect(api, { pageSize: 2, query: { labelSelector: 'x=y' } });
    await reflector.ready;
    await expect.poll(() => watches(api).length).toBe(1);
    expect([...reflector.items.keys()]).toEqual(['a', 'b', 'c']);
    expect(reflector.synced).toBe(true);
    expect(reflector.contactAt).toBeGreaterThan(Date.now() - 20_000);
    expect(events).toContain('synced 3');
    expect(api.asked.map(({ query }) => query.get('continue'))).toEqual([null, 'next & more', null]);
    expect(api.asked.map(({ query }) => query.get('limit'))).toEqual(['2', '2', null]);
    expect(api.asked.map(({ query }) => query.get('labelSelector'))).toEqual(['x=y', 'x=y', 'x=y']);
    expect(Object.fromEntries(watches(api)[0]!.query)).toMatchObject({
      resourceVersion: '10',
      allowWatchBookmarks: 'true',
    });
  });

  it('is read in smaller pages where the objects of one are too large together', async () => {
    const large = (name: string) => ({ metadata: { name, resourceVersion: '1' }, spec: 'x'.repeat(700 << 10) });
    const names = Array.from({ length: 20 }, (_, at) => `o${String(at).padStart(2, '0')}`);
    const api = await start({
      list: ({ query, send }) => {
        const from = Number(query.get('continue') ?? '0');
        const to = from + Number(query.get('limit'));
        const metadata = { resourceVersion: '1', ...(to < names.length && { continue: String(to) }) };
        send({ metadata, items: names.slice(from, to).map(large) });
      },
    });
    const { reflector, events } = reflect(api, { pageSize: 16 });
    await reflector.ready;
    expect([...reflector.items.keys()]).toEqual(names);
    expect(events.filter((event) => event.startsWith('error'))).toEqual([]);
    expect(api.asked.slice(0, 4).map(({ query }) => query.get('limit'))).toEqual(['16', '8', '4', '8']);
  });

  it('with one object that is too large fails, and says so', async () => {
    const api = await start({ list: ({ send }) => send({ metadata: {}, items: ['x'.repeat(17 << 20)] }) });
    const { reflector, events } = reflect(api, { pageSize: 4 });
    await expect.poll(() => events).toContain('error too-large');
    expect(reflector.synced).toBe(false);
    expect(api.asked.slice(0, 3).map(({ query }) => query.get('limit'))).toEqual(['4', '2', '1']);
  });

  it('is no list until its last page is there', async () => {
    const api = await start({
      list: ({ query, send }) => {
        if (query.get('continue') === null) send(listOf(['a'], { resourceVersion: '1', continue: 'more' }));
      },
    });
    const { reflector } = reflect(api);
    await expect.poll(() => lists(api)).toBe(2);
    expect(reflector.items.size).toBe(0);
    expect(reflector.synced).toBe(false);
  });

  it('begins anew where a page has expired', async () => {
    let expired = 0;
    const api = await start({
      list: ({ query, send }) => {
        if (query.get('continue') === null) send(listOf(['a'], { resourceVersion: '1', continue: 'more' }));
        else if ((expired += 1) === 1) send(status(410, 'The provided continue parameter is too old'), 410);
        else send(listOf(['b']));
      },
    });
    const { reflector, events } = reflect(api);
    await reflector.ready;
    expect([...reflector.items.keys()]).toEqual(['a', 'b']);
    expect(lists(api)).toBe(4);
    expect(events).toEqual(['error gone', 'a: - -> 1', 'b: - -> 1', 'synced 2']);
  });

  it.each([
    { metadataOnly: true, list: 'PartialObjectMetadataList', watch: 'PartialObjectMetadata;' },
    { metadataOnly: false, list: 'application/json', watch: 'application/json' },
  ])('asks for metadata alone where told to: $metadataOnly', async ({ metadataOnly, list, watch }) => {
    const api = await start({});
    reflect(api, { metadataOnly });
    await expect.poll(() => api.asked.length).toBe(2);
    expect(api.asked[0]?.headers.accept).toContain(list);
    expect(api.asked[1]?.headers.accept).toContain(watch);
    expect(api.asked.some(({ headers }) => headers.accept?.includes('Partial'))).toBe(metadataOnly);
  });

  it('never ends: it is not followed for ever', async () => {
    let pages = 0;
    const api = await start({
      list: ({ send }) => send(listOf([`n${(pages += 1)}`], { resourceVersion: '1', continue: 'more' })),
    });
    const { events } = reflect(api);
    await expect.poll(() => events, { timeout: 15_000 }).toContain('error malformed');
    expect(pages).toBeGreaterThanOrEqual(2000);
  });
});

describe('a watch', () => {
  it('changes what is remembered; what is not kept is not there', async () => {
    const api = await start({
      watch: ({ open, event }) => {
        open();
        event('ADDED', object('c', '11'));
        event('MODIFIED', object('a', '12'));
        event('DELETED', object('b', '13'));
        event('MODIFIED', object('c', 'hidden'));
      },
    });
    const keep = ({ metadata: { resourceVersion = '' } }: { metadata: { resourceVersion?: string } }) =>
      resourceVersion === 'hidden' ? undefined : resourceVersion;
    const { reflector, events } = reflect(api, { keep });
    await expect.poll(() => events.length).toBe(7);
    expect(Object.fromEntries(reflector.items)).toEqual({ a: '12' });
    expect(events.slice(3)).toEqual(['c: - -> 11', 'a: 1 -> 12', 'b: 1 -> -', 'c: 11 -> -']);
  });

  it.each([
    { type: 'BOOKMARK', version: '20' },
    { type: 'MODIFIED', version: '21' },
  ])('goes on from the last $type where it ended', async ({ type, version }) => {
    const api = await start({
      watch: ({ open, event, response }, nth) => {
        open();
        if (nth > 1) return;
        event(type, object('a', version));
        setTimeout(() => response.end(), 50);
      },
    });
    const { events } = reflect(api);
    await expect.poll(() => watches(api).length).toBe(2);
    expect(watches(api)[1]?.query.get('resourceVersion')).toBe(version);
    expect(lists(api)).toBe(1);
    expect(events.join()).not.toContain('error');
  });

  it.each([
    { title: '410 as a status', watch: ({ send }: Asked) => send(status(410, 'too old'), 410), code: 'gone' },
    {
      title: '410 as an event',
      watch: ({ open, event }: Asked) => {
        open();
        event('ERROR', status(410, 'too old resource version'));
      },
      code: 'gone',
    },
    {
      title: 'garbage',
      watch: ({ open, response }: Asked) => {
        open();
        response.write('{"type":"ADD\n');
      },
      code: 'malformed',
    },
    {
      title: '404: the resource itself is gone',
      watch: ({ send }: Asked) => send(status(404, 'no'), 404),
      code: 'not-found',
    },
    { title: 'a watch that is forbidden', watch: ({ send }: Asked) => send(status(403, 'no'), 403), code: 'forbidden' },
  ])('$title: a new list, which reports what has gone meanwhile', async ({ watch, code }) => {
    let listed = 0;
    const api = await start({
      list: ({ send }) => send((listed += 1) === 1 ? listOf(['a', 'b']) : listOf(['b', 'c'])),
      watch: (asked, nth) => (nth === 1 ? watch(asked) : asked.open()),
    });
    const { reflector, events } = reflect(api);
    await expect.poll(() => [...reflector.items.keys()]).toEqual(['b', 'c']);
    expect(events).toContain(`error ${code}`);
    expect(events).toContain('a: 1 -> -');
    expect(events.some((event) => event.startsWith('lost'))).toBe(code !== 'gone');
  });

  it.each([
    { title: 'a server error', watch: ({ send }: Asked) => send(status(500, 'no'), 500), code: 'server' },
    { title: 'a cut connection', watch: ({ response }: Asked) => response.destroy(), code: 'unreachable' },
    {
      title: 'an error in the stream',
      watch: ({ open, event }: Asked) => {
        open();
        event('ERROR', status(500, 'etcd'));
      },
      code: 'server',
    },
  ])('$title: again from the same place, lost is said once, recovered too', async ({ watch, code }) => {
    const api = await start({ watch: (asked, nth) => (nth <= 3 ? watch(asked) : asked.open()) });
    const { reflector, events } = reflect(api);
    await expect.poll(() => [watches(api).length, events.at(-1)]).toEqual([4, 'recovered']);
    expect(events.filter((event) => event === `error ${code}`)).toHaveLength(3);
    expect(lists(api)).toBe(1);
    expect(reflector.items.size).toBe(2);
    expect(new Set(watches(api).map(({ query }) => query.get('resourceVersion')))).toEqual(new Set(['10']));
    if (code !== 'server') expect(events.filter((event) => event.startsWith('lost'))).toEqual([`lost ${code}`]);
  });
});

/** Milliseconds between the requests that `which` names. */
function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - times[index]!);
}

describe('nothing runs hot', () => {
  it.each([
    {
      title: 'watches that end at once',
      watch: ({ open, response }: Asked) => (open(), void response.end()),
      perWait: 1,
    },
    {
      title: 'watches that say a word and end',
      watch: ({ open, event, response }: Asked) => {
        open();
        event('BOOKMARK', object('', '11'));
        response.end();
      },
      perWait: 1,
    },
    {
      title: 'versions that are always too old',
      watch: ({ send }: Asked) => send(status(410, 'too old'), 410),
      perWait: 2,
    },
    {
      title: 'garbage each time',
      watch: ({ open, response }: Asked) => (open(), void response.end('?\n')),
      perWait: 2,
    },
  ])('$title', async ({ watch, perWait }) => {
    const api = await start({ watch });
    const began = performance.now();
    reflect(api);
    await expect.poll(() => api.asked.length).toBeGreaterThan(4);
    await sleep(300);
    // Waits of 5-10, 10-20, 20-40, 40-80 and then 50-100 ms.
    const mostWaits = 4 + (performance.now() - began) / 50;
    expect(api.asked.length).toBeLessThanOrEqual(1 + perWait * (mostWaits + 1));
  });

  it('waits grow with each failure, and begin anew once a watch has lasted', async () => {
    const times: number[] = [];
    const api = await start({
      watch: ({ open, send, response }, nth) => {
        times.push(performance.now());
        if (nth !== 6) {
          send(status(500, 'no'), 500);
          return;
        }
        open();
        setTimeout(() => response.destroy(), 200);
      },
    });
    const waits: number[] = [];
    reflect(api, { backoff: { first: 40, most: 10_000 }, onError: (_, wait) => waits.push(wait) });
    await expect.poll(() => times.length, { timeout: 15_000 }).toBeGreaterThanOrEqual(7);
    for (const [index, wait] of waits.slice(0, 5).entries()) {
      expect(wait).toBeGreaterThanOrEqual(20 * 2 ** index);
      expect(wait).toBeLessThanOrEqual(40 * 2 ** index);
    }
    expect(waits[5]).toBeLessThanOrEqual(40);
    for (const [index, gap] of gaps(times).slice(0, 5).entries()) expect(gap).toBeGreaterThanOrEqual(waits[index]! - 5);
  });
});

describe('an API server that goes away', () => {
  it.each([
    { title: 'forbidden', answer: ({ send }: Asked) => send(status(403, 'no'), 403), code: 'forbidden' },
    { title: 'failing', answer: ({ send }: Asked) => send(status(500, 'no'), 500), code: 'server' },
    { title: 'cutting', answer: ({ response }: Asked) => void response.destroy(), code: 'unreachable' },
    { title: 'sending lists of nothing', answer: ({ send }: Asked) => send({ items: [null] }), code: 'server' },
  ])('the first list is $title: tried until it is there', async ({ answer, code }) => {
    let tries = 0;
    const api = await start({ list: (asked) => ((tries += 1) <= 3 ? answer(asked) : LISTED(asked)) });
    const { reflector, events } = reflect(api);
    await reflector.ready;
    expect(reflector.synced).toBe(true);
    expect(events.slice(0, 4)).toEqual([`error ${code}`, `lost ${code}`, `error ${code}`, `error ${code}`]);
    await expect.poll(() => events.at(-1)).toBe('recovered');
  });

  it('what was known stays, and how old it is can be seen', async () => {
    let now = 1000;
    const api = await start({});
    const { reflector, events } = reflect(api, { clock: { now: () => now } });
    await reflector.ready;
    await expect.poll(() => watches(api).length).toBe(1);
    now = 5000;
    api.answer = ({ response }) => void response.destroy();
    api.cut();
    await expect.poll(() => events.filter((event) => event === 'error unreachable').length).toBeGreaterThan(3);
    expect(reflector.contactAt).toBe(1000);
    expect(reflector.synced).toBe(true);
    expect(reflector.items.size).toBe(2);

    api.answer = ({ open }) => open();
    await expect.poll(() => reflector.contactAt).toBe(5000);
    expect(events.at(-1)).toBe('recovered');
  });
});

describe('closing', () => {
  it.each([
    { title: 'while listing', list: () => {}, until: 1 },
    { title: 'while watching', until: 2 },
    { title: 'while waiting', list: ({ send }: Asked) => send(status(500, 'no'), 500), until: 1 },
  ])('$title', async ({ list, until }) => {
    const api = await start({ ...(list && { list }) });
    const { reflector, events } = reflect(api, { backoff: { first: 60_000, most: 60_000 } });
    await expect.poll(() => api.asked.length).toBe(until);
    await sleep(20);
    const before = events.length;
    await reflector.close();
    await reflector.ready;
    await sleep(20);
    expect(api.asked).toHaveLength(until);
    expect(events).toHaveLength(before);
  });

  it('twice is as good as once', async () => {
    const { reflector } = reflect(await start({}));
    await expect(Promise.all([reflector.close(), reflector.close()])).resolves.toHaveLength(2);
  });
});
