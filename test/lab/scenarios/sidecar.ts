import type { ResolverId } from '../preparation/programs.ts';
import { RACED_BEFORE } from './raced.ts';
import { BEFORE, FULLY_QUALIFIED, OURS, type Column, type Scenario } from './scenario.ts';

/** A Pod of several kinds, whose resolvers share one resolv.conf with the cache first, and one of musl alone. */
const PODS: readonly (readonly ResolverId[])[] = [
  ['glibc', 'go', 'musl-new'],
  ['musl', 'musl-static'],
];

const UP: Column = { id: 'sidecar', title: 'a cache in the Pod', file: 'after', sidecar: 'up' };
const ALONE: Column = { ...UP, id: 'sidecar-alone', title: 'a cache in the Pod, no fallback', sidecar: 'alone' };
const DEAD: Column = { ...UP, id: 'sidecar-dead', title: 'a cache in the Pod, dead', sidecar: 'dead' };

export const sidecar: Scenario = {
  id: 'sidecar',
  title: 'A DNS cache in the Pod (CoreDNS)',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: PODS,
  columns: [BEFORE, OURS, UP, ALONE, DEAD],
  expect: {
    ...RACED_BEFORE,
    'ours/musl': { atLeastMs: 400, atMostMs: 600 },
    'sidecar/musl': { atMostMs: 50 },
    'sidecar/glibc': { atMostMs: 50 },
    'sidecar/go': { atMostMs: 50 },
    // All packets are the cache's.
    'sidecar-alone/musl': { atMostMs: 50, packets: ['one-query-a-port'] },
    'sidecar-alone/glibc': { atMostMs: 50, packets: ['tcp', 'one-query-a-port'] },
    'sidecar-alone/go': { atMostMs: 50, packets: ['tcp', 'one-query-a-port'] },
    // Loopback refuses at once: no more than without a cache.
    'sidecar-dead/musl': { atLeastMs: 400, atMostMs: 600 },
    'sidecar-dead/glibc': { atMostMs: 100, packets: ['tcp'] },
    'sidecar-dead/go': { atMostMs: 100, packets: ['tcp'] },
  },
};

export const sidecarRestarts: Scenario = {
  ...sidecar,
  id: 'sidecar-restarts',
  title: 'A DNS cache in the Pod, away for 3 s',
  columns: [UP],
  restarts: true,
  expect: {
    'sidecar/musl': { atMostMs: 600 },
    'sidecar/glibc': { atMostMs: 100 },
    'sidecar/go': { atMostMs: 100 },
  },
};
