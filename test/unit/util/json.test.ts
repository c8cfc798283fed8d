import { describe, expect, it } from 'vitest';

import { asObject, asText, isObject, objectAt } from '../../../src/util/json.ts';

describe('values of any kind', () => {
  it.each<[string, unknown, boolean]>([
    ['an object', { a: 1 }, true],
    ['a list', [1], false],
    ['null', null, false],
    ['a text', 'a', false],
    ['nothing', undefined, false],
  ])('%s: object or not', (_, value, expected) => {
    expect(isObject(value)).toBe(expected);
    expect(asObject(value)).toEqual(expected ? value : {});
  });

  it('are read as texts, empty ones in place of anything else', () => {
    expect([asText('a'), asText(1), asText(undefined)]).toEqual(['a', '', '']);
  });

  it.each<[readonly string[], object]>([
    [[], { spec: { template: { a: 1 }, list: [] } }],
    [['spec', 'template'], { a: 1 }],
    [['spec', 'list'], {}],
    [['spec', 'missing', 'more'], {}],
  ])('at %j', (path, expected) => {
    expect(objectAt({ spec: { template: { a: 1 }, list: [] } }, path)).toEqual(expected);
  });
});
