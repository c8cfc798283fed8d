import { CLUSTER_DNS, NODE_LOCAL } from '../network/plan.ts';
import type { ResolverId } from '../preparation/programs.ts';
import { RACED_BEFORE } from './raced.ts';
import { BEFORE, FULLY_QUALIFIED, OURS, OURS_LOCAL, OURS_LOCAL_ONLY, type Column, type Scenario } from './scenario.ts';

/** One Pod with one resolv.conf and three kinds of containers. */
const MIXED: readonly (readonly ResolverId[])[] = [['glibc', 'go', 'musl', 'musl-new']];

export const mixed: Scenario = {
  id: 'mixed',
  title: 'glibc, Go and musl in one Pod',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: MIXED,
  columns: [BEFORE, OURS, OURS_LOCAL],
  expect: {
    ...RACED_BEFORE,
    'ours/glibc': { atMostMs: 50, packets: ['tcp'] },
    'ours/go': { atMostMs: 50, packets: ['tcp'] },
    'ours/musl': { atLeastMs: 400, atMostMs: 600, packets: ['resent-early'] },
    'ours-local/glibc': { atMostMs: 50 },
    'ours-local/go': { atMostMs: 50 },
    'ours-local/musl': { atMostMs: 50, packets: ['answered-locally'] },
  },
};

export const mixedRefused: Scenario = {
  ...mixed,
  id: 'mixed-cache-refuses',
  title: 'glibc, Go and musl in one Pod, node-local cache crashed',
  node: 'cache-refuses',
  columns: [BEFORE, OURS_LOCAL],
  expect: { 'ours-local/musl': { atMostMs: 600 }, 'ours-local/glibc': { atMostMs: 100 } },
};

/** The options are given to unknown resolvers, too: they must not harm any. */
export const unknown: Scenario = {
  id: 'unknown',
  title: 'Nothing is known of the image',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: [['glibc', 'node-resolve', 'go', 'musl', 'musl-new']],
  undeclared: true,
  columns: [BEFORE, OURS],
  expect: {
    ...RACED_BEFORE,
    'ours/glibc': { atMostMs: 50, packets: ['tcp'] },
    'ours/other': { atMostMs: 50, packets: ['tcp'] },
    'ours/go': { atMostMs: 50, packets: ['tcp'] },
    'ours/musl': { atLeastMs: 2400, packets: ['one-port-at-once', 'packet-lost'] },
  },
};

/** A redirect that puts the cache first for all resolvers, for comparison. */
const CACHE_FIRST: Column = {
  id: 'cache-first',
  title: 'the cache asked first',
  file: 'before',
  pod: {
    dnsPolicy: 'None',
    dnsConfig: {
      nameservers: [NODE_LOCAL.v4, CLUSTER_DNS.v4],
      searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
      options: [
        { name: 'ndots', value: '5' },
        { name: 'timeout', value: '5' },
        { name: 'attempts', value: '10' },
        { name: 'single-request-reopen' },
        { name: 'use-vc' },
      ],
    },
  },
};

export const mixedSilent: Scenario = {
  ...mixedRefused,
  id: 'mixed-cache-silent',
  title: 'glibc, Go and musl in one Pod, node-local cache unreachable',
  node: 'cache-silent',
  columns: [BEFORE, OURS_LOCAL, CACHE_FIRST],
  expect: {
    'ours-local/musl': { atMostMs: 600 },
    'ours-local/glibc': { atMostMs: 100, packets: ['tcp'] },
    'ours-local/go': { atMostMs: 100, packets: ['tcp'] },
    'cache-first/glibc': { outcome: 'gives up' },
    'cache-first/go': { atLeastMs: 4900 },
    'cache-first/musl': { atMostMs: 600 },
  },
};

const MUSL_POD: readonly (readonly ResolverId[])[] = [['musl', 'musl-new']];

export const cacheRefuses: Scenario = {
  id: 'cache-refuses',
  title: 'Node-local cache crashed (its address refuses)',
  node: 'cache-refuses',
  question: FULLY_QUALIFIED,
  pods: MUSL_POD,
  columns: [BEFORE, OURS_LOCAL, OURS_LOCAL_ONLY],
  expect: { 'ours-local/musl': { atMostMs: 600 }, 'ours-local-only/musl': { outcome: 'fails' } },
};

export const cacheSilent: Scenario = {
  ...cacheRefuses,
  id: 'cache-silent',
  title: 'Node-local cache unreachable (packets to it are lost)',
  node: 'cache-silent',
};

/** Look-ups while the cache is down for some seconds, as in a roll-out of its DaemonSet. */
export const cacheRestarts: Scenario = {
  id: 'cache-restarts',
  title: 'Node-local cache away for 3 s',
  node: 'cache-restarts',
  question: FULLY_QUALIFIED,
  pods: [
    ['musl', 'musl-new'],
    ['glibc', 'go', 'musl-static'],
  ],
  columns: [OURS_LOCAL, { ...OURS_LOCAL_ONLY, only: ['musl', 'musl-new'] }],
  restarts: true,
  expect: {
    'ours-local/musl': { atMostMs: 600 },
    'ours-local/glibc': { atMostMs: 100 },
    'ours-local/go': { atMostMs: 100 },
    // musl asks again every 0.5 s until the cache is back.
    'ours-local-only/musl': { atMostMs: 4500 },
  },
};

const WITHOUT_TCP: Column = {
  id: 'without-use-vc',
  title: 'timeout:5 attempts:10',
  file: 'before',
  pod: {
    dnsConfig: {
      options: [
        { name: 'timeout', value: '5' },
        { name: 'attempts', value: '10' },
      ],
    },
  },
};

export const caresOnMusl: Scenario = {
  id: 'c-ares-musl',
  title: 'c-ares in an image of musl (Node on Alpine)',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: [['node-resolve']],
  declared: { 'node-resolve': 'musl' },
  columns: [BEFORE, OURS, OURS_LOCAL, WITHOUT_TCP],
  expect: {
    'ours/node-resolve': { atMostMs: 50, packets: ['tcp'] },
    'ours-local/node-resolve': { atMostMs: 50 },
    'without-use-vc/node-resolve': { atLeastMs: 4900 },
  },
};
