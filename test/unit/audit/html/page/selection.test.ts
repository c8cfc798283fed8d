import { describe, expect, it } from 'vitest';

import type { PageRow, PageTable, Tone } from '../../../../../src/audit/html/page-data.ts';
import { indexed, type Query, select, values } from '../../../../../src/audit/html/page/selection.ts';

const tag = (text: string) => ({ text, tone: text as Tone });
const row = (name: string, pods: number, resolvers: string[], evidence: string): PageRow => ({
  cells: [name, pods, resolvers.map(tag)],
  details: [{ term: 'Evidence', text: evidence }],
});

const table: PageTable = {
  id: 't',
  noun: ['workload', 'workloads'],
  columns: [
    { label: 'Workload', kind: 'text' },
    { label: 'Pods', kind: 'number' },
    { label: 'Resolver', kind: 'tags', choice: true },
  ],
  rows: [
    row('web-10', 3, ['musl'], '/usr/sbin/nginx: interpreter /lib/ld-musl-x86_64.so.1'),
    row('web-9', 20, ['glibc', 'musl'], '/app'),
    row('Batch', 3, ['go'], 'built by Go'),
    row('', 0, [], ''),
  ],
};

const rows = (query: Partial<Query>): number[] => select(indexed(table), { search: '', choices: new Map(), ...query });

describe('rows of a table', () => {
  it.each([
    ['', [0, 1, 2, 3]],
    ['WEB', [0, 1]],
    ['  nginx   web ', [0]],
    ['musl web-9', [1]],
    ['built by', [2]],
    ['.*', []],
    ['20', [1]],
  ])('that hold every word of %j', (search, expected) => {
    expect(rows({ search })).toEqual(expected);
  });

  it('that have a chosen value, one of several', () => {
    expect(rows({ choices: new Map([[2, 'musl']]) })).toEqual([0, 1]);
    expect(rows({ choices: new Map([[2, 'musl']]), search: 'web-10' })).toEqual([0]);
    expect(rows({ choices: new Map([[2, 'mus']]) })).toEqual([]);
    expect(rows({ choices: new Map([[0, '']]) })).toEqual([3]);
  });

  it.each([
    ['text as people count', { column: 0, descending: false }, [3, 2, 1, 0]],
    ['numbers by size', { column: 1, descending: true }, [1, 0, 2, 3]],
    ['numbers that are the same in the order they had', { column: 1, descending: false }, [3, 0, 2, 1]],
    ['a column that is not there not at all', { column: 9, descending: true }, [0, 1, 2, 3]],
  ])('sorts %s', (_, order, expected) => {
    expect(rows({ order })).toEqual(expected);
  });

  it('has the values of a column to choose from, most first', () => {
    expect(values(table, 2)).toEqual([
      ['musl', 2],
      ['glibc', 1],
      ['go', 1],
    ]);
  });
});
