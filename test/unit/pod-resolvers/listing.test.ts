import { describe, expect, it } from 'vitest';

import { listImages } from '../../../src/pod-resolvers/listing.ts';
import { entriesIn } from '../../support/pod-resolvers.ts';

const HEX = '0123456789abcdef'.repeat(4);
const MUCH = 1_000_000;

const listed = (entries: Record<string, string>, mostBytes = MUCH) =>
  listImages(new Map(Object.entries(entries)), mostBytes);

const numbered = (count: number, name: (index: number) => string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [name(index), 'musl']));

describe('the images of a PodResolvers', () => {
  it('by resolvers, by what comes before the name, by what runs', () => {
    const { images, count } = listed({
      'registry.test:5000/team/b:1': 'musl',
      'registry.test:5000/team/a:2 bare': 'musl',
      'registry.test:5000/team/a:2 command node': 'glibc+go',
      'registry.test:5000/team/a:1': 'musl',
      'alpine command sh -c': 'musl',
      'odd:1 unknown': 'unknown',
    });
    expect(count).toBe(6);
    expect(images).toEqual({
      musl: {
        'registry.test:5000/team/': { '': ' a:1 b:1 ', bare: ' a:2 ' },
        '': { 'command sh -c': ' alpine ' },
      },
      'glibc+go': { 'registry.test:5000/team/': { 'command node': ' a:2 ' } },
      unknown: { '': { unknown: ' odd:1 ' } },
    });
  });

  it.each([
    ['by digest', `r.test/a@sha256:${HEX}`, ' a@sha256:0123456789abcdef '],
    ['by tag and digest', `r.test/a:1@sha256:${HEX}`, ' a:1@sha256:0123456789abcdef '],
  ])('%s: 16 digits of it', (_, image, names) => {
    expect(listed({ [image]: 'musl' }).images).toEqual({ musl: { 'r.test/': { '': names } } });
  });

  it('more of one place than the policy may search: by the last letters of repository and name, too', () => {
    const entries = numbered(2000, (index) => `r.test/team/service-${index}:1.${index % 3}`);
    const { images, count } = listed({ ...entries, 'r.test/other/a:1': 'musl' });
    expect(count).toBe(2001);
    const places = images['musl'] ?? {};
    expect(Object.keys(places)).toHaveLength(31);
    expect(places['r.test/other/']).toEqual({ '': ' a:1 ' });
    expect(places['r.test/team/92']?.['']?.slice(0, 30)).toBe(' service-1019:1.2 service-1049');
    for (const { '': names = '' } of Object.values(places)) expect(names.length).toBeLessThanOrEqual(8000);
  });

  it('more that end alike than the policy may search: the last ones are left out', () => {
    const { images, count } = listed(numbered(2000, (index) => `r.test/team/service-${index}-x:1`));
    const { '': names = '' } = images['musl']?.['r.test/team/x1'] ?? {};
    expect(names.length).toBeGreaterThan(7900);
    expect(names.length).toBeLessThanOrEqual(8001);
    expect(count).toBe(names.trim().split(' ').length);
    expect(names).toContain(' service-0-x:1 ');
    expect(names).not.toContain(' service-1999-x:1 ');
  });

  it('the first ones, as long as there is room', () => {
    const entries = numbered(1000, (index) => `r.test/${index}/some-service:1`);
    const { images, count } = listed(entries, 10_000);
    expect(Object.keys(entriesIn(images)).toSorted()).toEqual(Object.keys(entries).slice(0, count).toSorted());
    const size = JSON.stringify(images).length;
    expect(size).toBeGreaterThan(8000);
    expect(size).toBeLessThanOrEqual(10_000);
  });

  it('the same in any order', () => {
    const entries = Object.entries(numbered(50, (index) => `r.test/a:${index}`));
    expect(JSON.stringify(listImages(new Map(entries.toReversed()), MUCH))).toBe(
      JSON.stringify(listImages(new Map(entries), MUCH)),
    );
  });
});
