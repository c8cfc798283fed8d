import { afterEach, describe, expect, it } from 'vitest';

import { createCollectionCopy } from '../../../src/kubernetes/collection.ts';
import { KubeError } from '../../../src/kubernetes/errors.ts';
import { streamedList } from '../../../src/kubernetes/reflector.ts';
import { END_OF_STREAM, isWatch, kindOf, objectOf, reflect } from './reflecting.ts';
import { type Asked, isStream, listOf, startSmallApi, status } from './small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A reflector that asks for its list as events, of an API that answers so with `stream` and else as any does. */
async function follow(stream: (asked: Asked) => void) {
  const api = await startSmallApi((asked) => {
    if (isStream(asked)) stream(asked);
    else if (isWatch(asked)) asked.open();
    else asked.send(listOf(['from-a-page']));
  });
  const { reflector, events } = reflect(api, () => ({
    streamed: true,
    keep: ({ metadata }) => (metadata.resourceVersion === 'hidden' ? undefined : metadata.resourceVersion),
  }));
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
      event('ADDED', objectOf('a', '1'));
      event('ADDED', objectOf('b', '2'));
      event('BOOKMARK', END_OF_STREAM);
      event('MODIFIED', objectOf('b', '21'));
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
      for (const name of ['a', 'b', 'c']) event('ADDED', objectOf(name, '1'));
      event('DELETED', objectOf('a', '2'));
      event('MODIFIED', objectOf('b', '3'));
      event('MODIFIED', objectOf('c', 'hidden'));
      event('BOOKMARK', objectOf('', '19'));
      event('BOOKMARK', END_OF_STREAM);
    });
    await reflector.ready;
    expect(Object.fromEntries(reflector.items)).toEqual({ b: '3' });
  });

  it('is watched on from its end where the connection breaks', async () => {
    const { api, reflector, asked } = await follow(({ open, event, response }) => {
      open();
      event('BOOKMARK', END_OF_STREAM);
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
        event('ADDED', objectOf('a', '1'));
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
    const event = { type: 'ADDED', object: objectOf('a', '1') } as const;
    for (let taken = 0; taken < 3; taken += 1) expect(list.take(event)).toBe(false);
    expect(() => list.take(event)).toThrow(new KubeError('malformed', 'list /x: more than 3 events'));
    list.stop();
  });
});
