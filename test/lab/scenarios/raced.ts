import { NODE_LOCAL } from '../network/plan.ts';
import {
  BEFORE,
  FULLY_QUALIFIED,
  GLIBC,
  GO,
  MUSL,
  OURS,
  OURS_LOCAL,
  OURS_LOCAL_ONLY,
  type Column,
  type Expectations,
  type Scenario,
} from './scenario.ts';

/** What other injectors set for every Pod, whatever is in its image. */
export const PEERS = {
  timeout: {
    id: 'peer-timeout',
    title: 'timeout:1 attempts:2',
    file: 'before',
    pod: {
      dnsConfig: {
        options: [
          { name: 'timeout', value: '1' },
          { name: 'attempts', value: '2' },
        ],
      },
    },
  },
  ndots: {
    id: 'peer-ndots',
    title: 'ndots:1',
    file: 'before',
    pod: { dnsConfig: { options: [{ name: 'ndots', value: '1' }] } },
  },
  appended: {
    id: 'peer-appended',
    title: 'nameserver appended',
    file: 'before',
    pod: { dnsConfig: { nameservers: [NODE_LOCAL.v4] } },
  },
  reopen: {
    id: 'peer-reopen',
    title: 'single-request-reopen',
    file: 'before',
    pod: { dnsConfig: { options: [{ name: 'single-request-reopen' }] } },
  },
} as const satisfies Record<string, Column>;

/** Without a patch, resolvers that send A and AAAA from one port wait for their timeout. Go uses two ports and does not. */
export const RACED_BEFORE = {
  'before/glibc': { atLeastMs: 4900, packets: ['one-port-at-once', 'packet-lost'] },
  'before/musl': { atLeastMs: 2400, packets: ['one-port-at-once', 'packet-lost'] },
  'before/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
} as const satisfies Expectations;

/** c-ares has a shorter timeout. */
export const RACED_C_ARES = {
  'before/other': { atLeastMs: 1900, packets: ['one-port-at-once', 'packet-lost'] },
} as const satisfies Expectations;

export const raced: Scenario = {
  id: 'raced',
  title: 'One look-up whose second packet is lost',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: [GLIBC, GO, ['node-resolve'], MUSL],
  columns: [
    BEFORE,
    OURS,
    OURS_LOCAL,
    { ...OURS_LOCAL_ONLY, only: MUSL },
    PEERS.timeout,
    PEERS.ndots,
    PEERS.appended,
    PEERS.reopen,
  ],
  expect: {
    ...RACED_BEFORE,
    ...RACED_C_ARES,
    'ours/glibc': { atMostMs: 50, packets: ['tcp'] },
    // Left alone.
    'ours/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
    'ours/other': { atMostMs: 50, packets: ['tcp'] },
    'ours/musl': { atLeastMs: 400, atMostMs: 600, packets: ['packet-lost', 'resent-early'] },
    'ours-local/glibc': { atMostMs: 50, packets: ['tcp'] },
    'ours-local/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
    'ours-local/other': { atMostMs: 50, packets: ['tcp'] },
    'ours-local/musl': { atMostMs: 50, packets: ['answered-locally'] },
    'ours-local-only/musl': { atMostMs: 50, packets: ['answered-locally', 'asked-locally-only'] },
    // glibc asks the servers in order, musl all at once.
    'peer-appended/glibc': { atLeastMs: 4900, packets: ['packet-lost'] },
    'peer-appended/musl': { atMostMs: 50, packets: ['answered-locally'] },
    'peer-ndots/glibc': { atLeastMs: 4900 },
    'peer-ndots/musl': { atLeastMs: 2400 },
    'peer-reopen/glibc': { atMostMs: 50, packets: ['two-ports-in-turn'] },
    'peer-reopen/go': { atMostMs: 50, packets: ['two-ports-in-turn'] },
    // c-ares and musl do not know the option.
    'peer-reopen/other': { atLeastMs: 1900, packets: ['packet-lost'] },
    'peer-reopen/musl': { atLeastMs: 2400, packets: ['one-port-at-once', 'packet-lost'] },
    'peer-timeout/glibc': { atLeastMs: 900 },
    'peer-timeout/musl': { atLeastMs: 400 },
  },
};
