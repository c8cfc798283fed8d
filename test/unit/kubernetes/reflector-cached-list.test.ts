import { afterEach, describe, expect, it } from 'vitest';

import { recordingTrouble } from './recording-trouble.ts';
import { END_OF_STREAM, isWatch, kindOf, objectOf, reflect } from './reflecting.ts';
import { type Asked, isStream, listOf, startSmallApi, status } from './small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const isCached = (asked: Asked): boolean => !isWatch(asked) && asked.query.get('resourceVersion') === '0';

interface Answers {
  readonly cached: (asked: Asked) => void;
  readonly watch?: (asked: Asked) => void;
  readonly stream?: (asked: Asked) => void;
}

const STREAM = ({ open, event }: Asked): void => {
  open();
  event('ADDED', objectOf('from-the-stream', '1'));
  event('BOOKMARK', END_OF_STREAM);
};

/** A reflector whose first list may be old, of an API that answers so with `cached`. */
async function follow({ cached, watch = ({ open }) => open(), stream = STREAM }: Answers) {
  const api = await startSmallApi((asked) => {
    if (isCached(asked)) cached(asked);
    else if (isStream(asked)) stream(asked);
    else if (isWatch(asked)) watch(asked);
    else asked.send(listOf(['from-a-page']));
  });
  const { reflector, events } = reflect(api, (told) => ({
    query: { labelSelector: 'x=y' },
    cached: true,
    streamed: true,
    keep: ({ metadata }) => metadata.resourceVersion,
    trouble: recordingTrouble(told),
  }));
  closers.push(
    () => api.close(),
    () => reflector.close(),
  );
  const asked = (): string[] => api.asked.map((one) => (isCached(one) ? 'cached' : kindOf(one)));
  return { api, reflector, events, asked };
}

describe('a list from the memory of the API server', () => {
  it('comes whole, and is watched on from its version', async () => {
    const { api, reflector, events, asked } = await follow({
      cached: ({ send }) => send(listOf(['a', 'b'])),
      // Never opens: contact was the list alone.
      watch: () => {},
    });
    await reflector.ready;
    await expect.poll(asked).toEqual(['cached', 'watch']);
    expect(events).toEqual(['a: - -> 1', 'b: - -> 1', 'synced 2']);
    expect(reflector.synced).toBe(true);
    expect(reflector.contactAt).toBeGreaterThan(Date.now() - 20_000);
    expect(Object.fromEntries(api.asked[0]!.query)).toEqual({ labelSelector: 'x=y', resourceVersion: '0' });
    expect(Object.fromEntries(api.asked[1]!.query)).toMatchObject({ labelSelector: 'x=y', resourceVersion: '10' });
  });

  it('may be old: the watch brings what it lacks', async () => {
    const { reflector, events } = await follow({
      cached: ({ send }) => send(listOf(['deleted'])),
      watch: ({ open, event }) => {
        open();
        event('DELETED', objectOf('deleted', '11'));
        event('ADDED', objectOf('created', '12'));
      },
    });
    await expect.poll(() => events.length).toBe(4);
    expect(events).toEqual(['deleted: - -> 1', 'synced 1', 'deleted: 1 -> -', 'created: - -> 12']);
    expect(Object.fromEntries(reflector.items)).toEqual({ created: '12' });
  });

  it('is empty where the API server has just started: the watch brings all', async () => {
    const { reflector, events } = await follow({
      cached: ({ send }) => send(listOf([])),
      watch: ({ open, event }) => {
        open();
        event('ADDED', objectOf('a', '11'));
      },
    });
    await expect.poll(() => events).toEqual(['synced 0', 'a: - -> 11']);
    expect(Object.fromEntries(reflector.items)).toEqual({ a: '11' });
  });

  it.each<{ title: string; watch: (asked: Asked) => void }>([
    { title: 'refused', watch: ({ send }) => send(status(410, 'too old resource version'), 410) },
    {
      title: 'ended',
      watch: ({ open, event, response }) => {
        open();
        event('ERROR', status(410, 'too old resource version'));
        response.end();
      },
    },
  ])('is too old to be watched on, the watch is $title: the next list is new', async ({ watch }) => {
    const { reflector, events, asked } = await follow({ cached: ({ send }) => send(listOf(['a'])), watch });
    await expect.poll(() => events).toContain('synced 1');
    await expect.poll(() => Object.fromEntries(reflector.items)).toEqual({ 'from-the-stream': '1' });
    expect(asked()).toEqual(['cached', 'watch', 'stream']);
    expect(events).toEqual(['a: - -> 1', 'synced 1', 'error gone', 'from-the-stream: - -> 1', 'a: 1 -> -', 'synced 1']);
  });

  const broken = JSON.stringify(listOf(['a', 'b'])).slice(0, -10);
  it.each<{ title: string; cached: (asked: Asked) => void }>([
    {
      title: 'refused by a server that has no memory yet',
      cached: ({ send }) => send(status(429, 'initializing'), 429),
    },
    { title: 'refused', cached: ({ send }) => send(status(403, 'no'), 403) },
    { title: 'that breaks', cached: ({ response }) => void response.write(broken, () => response.destroy()) },
    { title: 'that ends too soon', cached: ({ response }) => response.end(broken) },
    { title: 'of garbage', cached: ({ response }) => response.end('<html>') },
    { title: 'of objects without metadata', cached: ({ send }) => send({ ...listOf(['a']), items: [{}] }) },
    { title: 'without a version', cached: ({ send }) => send(listOf(['a'], {})) },
  ])('$title: it is streamed instead, at once, and no failure is told', async ({ cached }) => {
    const { reflector, events, asked } = await follow({ cached });
    await reflector.ready;
    expect(asked()).toEqual(['cached', 'stream']);
    expect(events).toEqual(['from-the-stream: - -> 1', 'synced 1']);
  });

  it('refused by a server that does not stream either: pages are read', async () => {
    const refuse = ({ send }: Asked): void => send(status(422, 'forbidden'), 422);
    const { reflector, events, asked } = await follow({ cached: refuse, stream: refuse });
    await reflector.ready;
    await expect.poll(asked).toEqual(['cached', 'stream', 'list', 'watch']);
    expect(events).toEqual(['from-a-page: - -> 1', 'synced 1']);
  });

  it('refused by a server that refuses all: the failure is told, and it is not asked for again', async () => {
    const refuse = ({ send }: Asked): void => send(status(500, 'etcd'), 500);
    const { api, events, asked } = await follow({ cached: refuse });
    api.answer = refuse;
    await expect.poll(() => events).toContain('error server');
    await expect.poll(() => asked().length).toBeGreaterThan(3);
    expect(events[0]).toBe('error server');
    expect(asked().filter((kind) => kind === 'cached')).toEqual(['cached']);
  });

  it('that never ends is not read for ever', async () => {
    const { reflector, events } = await follow({
      cached: ({ open, response }) => {
        open();
        response.write('{"items":[');
        const items = '{"metadata":{"name":"a","resourceVersion":"1"}},'.repeat(10_000);
        const more = (): void => {
          while (!response.destroyed && response.write(items));
        };
        response.on('drain', more);
        more();
      },
    });
    await reflector.ready;
    expect(events).toEqual(['from-the-stream: - -> 1', 'synced 1']);
  });

  it('is given up when the reflector closes', async () => {
    const { api, reflector, events, asked } = await follow({
      cached: ({ open, response }) => {
        open();
        response.write(broken);
      },
    });
    await expect.poll(asked).toEqual(['cached']);
    const ended = Promise.withResolvers<void>();
    api.asked[0]!.response.on('close', ended.resolve);
    await reflector.close();
    await ended.promise;
    await reflector.ready;
    expect(reflector.synced).toBe(false);
    expect(asked()).toEqual(['cached']);
    expect(events).toEqual([]);
  });
});
