import { afterEach, describe, expect, it } from 'vitest';

import { createCollectionCopy } from '../../../src/kubernetes/collection.ts';
import { KubeError } from '../../../src/kubernetes/errors.ts';
import { createReflector, streamedList } from '../../../src/kubernetes/reflector.ts';
import { type Asked, isStream, listOf, startSmallApi, status } from './small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const isWatch = ({ query }: Asked): boolean => query.get('watch') === 'true';
const kindOf = (asked: Asked): string => (isStream(asked) ? 'stream' : isWatch(asked) ? 'watch' : 'list');

const object = (name: string, resourceVersion: string, annotations = {}) => ({
  metadata: { name, resourceVersion, annotations },
});
const end = object('', '20', { 'k8s.io/initial-events-end': 'true' });

/** A reflector that asks for its list as events, of an API that answers so with `stream` and else as any does. */
async function follow(stream: (asked: Asked) => void) {
  const api = await startSmallApi((asked) => {
    if (isStream(asked)) stream(asked);
    else if (isWatch(asked)) asked.open();
    else asked.send(listOf(['from-a-page']));
  });
  const events: string[] = [];
  const reflector = createReflector<string>({
    client: api.client,
    path: '/api/v1/namespaces',
    streamed: true,
    keep: ({ metadata }) => (metadata.resourceVersion === 'hidden' ? undefined : metadata.resourceVersion),
    onChange: (key, now, before) => events.push(`${key}: ${before ?? '-'} -> ${now ?? '-'}`),
    onError: ({ code }) => events.push(`error ${code}`),
    onSynced: (items) => events.push(`synced ${items}`),
    clock: { now: () => Date.now() },
    backoff: { first: 10, most: 100 },
  });
  closers.push(
    () => api.close(),
    () => reflector.close(),
  );
  return { api, reflector, events, asked: () => api.asked.map(kindOf) };
}

describe('a list that comes as events', () => {
  it('counts once its end is there, and the watch goes on', async () => {
    const { api, reflector, events, asked } = await follow(({ open, event }) => {
      open();
      event('ADDED', object('a', '1'));
      event('ADDED', object('b', '2'));
      event('BOOKMARK', end);
      event('MODIFIED', object('b', '21'));
    });
    await reflector.ready;
    await expect.poll(() => events.length).toBe(4);
    expect(events).toEqual(['a: - -> 1', 'b: - -> 2', 'synced 2', 'b: 2 -> 21']);
    expect(asked()).toEqual(['stream']);
    expect(Object.fromEntries(api.asked[0]!.query)).toMatchObject({
      resourceVersion: '',
      resourceVersionMatch: 'NotOlderThan',
      allowWatchBookmarks: 'true',
    });
  });

  it('takes changes that come before its end', async () => {
    const { reflector } = await follow(({ open, event }) => {
      open();
      for (const name of ['a', 'b', 'c']) event('ADDED', object(name, '1'));
      event('DELETED', object('a', '2'));
      event('MODIFIED', object('b', '3'));
      event('MODIFIED', object('c', 'hidden'));
      event('BOOKMARK', object('', '19'));
      event('BOOKMARK', end);
    });
    await reflector.ready;
    expect(Object.fromEntries(reflector.items)).toEqual({ b: '3' });
  });

  it('is watched on from its end where the connection breaks', async () => {
    const { api, reflector, asked } = await follow(({ open, event, response }) => {
      open();
      event('BOOKMARK', end);
      setTimeout(() => response.destroy(), 50);
    });
    await reflector.ready;
    await expect.poll(asked).toEqual(['stream', 'watch']);
    expect(api.asked[1]?.query.get('resourceVersion')).toBe('20');
  });

  it.each<{ title: string; stream: (asked: Asked) => void }>([
    { title: 'refused by a server that does not know it', stream: ({ send }) => send(status(422, 'forbidden'), 422) },
    { title: 'of an account that may not watch', stream: ({ send }) => send(status(403, 'no'), 403) },
    { title: 'that breaks', stream: ({ open, response }) => (open(), void setTimeout(() => response.destroy(), 50)) },
    {
      title: 'that ends before its end',
      stream: ({ open, event, response }) => {
        open();
        event('ADDED', object('a', '1'));
        response.end();
      },
    },
    { title: 'of garbage', stream: ({ open, response }) => (open(), void response.write('{"type":\n')) },
  ])('$title: pages are read instead, at once, and no failure is told', async ({ stream }) => {
    const { reflector, events, asked } = await follow(stream);
    await reflector.ready;
    await expect.poll(asked).toEqual(['stream', 'list', 'watch']);
    expect(events).toEqual(['from-a-page: - -> 1', 'synced 1']);
  });

  it('that never ends is not followed for ever', () => {
    const copy = createCollectionCopy({ keep: ({ metadata }) => metadata.name });
    const list = streamedList(copy.list(), { path: '/x', idleMs: 1000, most: 3 });
    const event = { type: 'ADDED', object: object('a', '1') } as const;
    for (let taken = 0; taken < 3; taken += 1) expect(list.take(event)).toBe(false);
    expect(() => list.take(event)).toThrow(new KubeError('malformed', 'list /x: more than 3 events'));
    list.stop();
  });
});
