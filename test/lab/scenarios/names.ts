import { PEERS } from './raced.ts';
import { BEFORE, OURS, OURS_LOCAL, OUTSIDE, SERVICE, type Scenario } from './scenario.ts';
import type { ResolverId } from '../preparation/programs.ts';

const PODS: readonly (readonly ResolverId[])[] = [['glibc'], ['go'], ['musl', 'musl-new']];
const COLUMNS = [BEFORE, OURS, OURS_LOCAL, PEERS.ndots];

/** With a search list, musl loses a packet for each search domain; glibc asks sequentially after its first timeout. */
export const searched: Scenario = {
  id: 'search',
  title: 'A Service by its short name (two names are asked)',
  node: 'raced',
  question: SERVICE,
  pods: PODS,
  columns: COLUMNS,
  expect: {
    'before/glibc': { atLeastMs: 4900 },
    'before/musl': { atLeastMs: 4900 },
    'ours/glibc': { atMostMs: 100 },
    'ours/go': { atMostMs: 100 },
    'ours/musl': { atMostMs: 1200 },
    'ours-local/glibc': { atMostMs: 100 },
    'ours-local/go': { atMostMs: 100 },
    'ours-local/musl': { atMostMs: 100 },
    // musl never applies searches to a name with `ndots` or more dots, so the Service is no longer found.
    'peer-ndots/musl': { outcome: 'fails' },
  },
};

export const outside: Scenario = {
  id: 'outside',
  title: 'A name of the world outside (four names are asked)',
  node: 'raced',
  question: OUTSIDE,
  pods: PODS,
  columns: COLUMNS,
  expect: {
    'before/glibc': { atLeastMs: 4900 },
    'before/musl': { atLeastMs: 9800 },
    'ours/glibc': { atMostMs: 200 },
    'ours/go': { atMostMs: 200 },
    'ours/musl': { atMostMs: 2400 },
    'ours-local/glibc': { atMostMs: 200 },
    'ours-local/go': { atMostMs: 200 },
    'ours-local/musl': { atMostMs: 200 },
  },
};
