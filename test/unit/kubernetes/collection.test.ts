import { describe, expect, it } from 'vitest';

import { createCollectionCopy } from '../../../src/kubernetes/collection.ts';

const object = (name: string) => ({ metadata: { name } });

describe('a copy with a bound', () => {
  it('holds no more than that, whoever made how many objects', () => {
    const beyond: string[] = [];
    const changes: string[] = [];
    const copy = createCollectionCopy({
      keep: ({ metadata }) => metadata.name,
      most: 2,
      onTooMany: (key) => beyond.push(key),
      onChange: (key, now) => changes.push(`${key} ${now === undefined ? 'gone' : 'there'}`),
    });
    const list = copy.list();
    for (const name of ['a', 'b', 'c', 'd']) list.add(object(name));
    list.done();
    expect([[...copy.items.keys()], beyond]).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    copy.apply({ type: 'ADDED', object: object('e') });
    copy.apply({ type: 'MODIFIED', object: object('a') });
    expect([...copy.items.keys()]).toEqual(['a', 'b']);
    copy.apply({ type: 'DELETED', object: object('a') });
    copy.apply({ type: 'ADDED', object: object('e') });
    expect([...copy.items.keys()]).toEqual(['b', 'e']);
    expect([beyond, changes]).toEqual([
      ['c', 'd', 'e'],
      ['a there', 'b there', 'a there', 'a gone', 'e there'],
    ]);
  });
});
