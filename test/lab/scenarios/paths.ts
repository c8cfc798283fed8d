import { NODE_LOCAL } from '../network/plan.ts';
import { PEERS, RACED_BEFORE, RACED_C_ARES } from './raced.ts';
import {
  BEFORE,
  FULLY_QUALIFIED,
  GLIBC,
  GO,
  MUSL,
  OURS,
  OURS_LOCAL,
  type Column,
  type Expectations,
  type Scenario,
} from './scenario.ts';

const ASSUMED: Column = {
  id: 'ours-unseen',
  title: 'use-vc without the preflight',
  file: 'after',
  knowledge: { nodeLocal: false, overTcp: 'assumed' },
  only: ['glibc', 'python', 'go', 'node-resolve'],
};

const WITHOUT_TCP: Expectations = {
  ...RACED_BEFORE,
  ...RACED_C_ARES,
  'ours/glibc': { atMostMs: 50, packets: ['two-ports-in-turn'] },
  'ours/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
  // Of our options c-ares obeys only use-vc, which cannot be given here.
  'ours/other': { atLeastMs: 1900 },
  'ours/musl': { atLeastMs: 400, atMostMs: 600, packets: ['resent-early'] },
};

const TCP_PODS = [['glibc', 'python'], ['go'], ['node-resolve'], ['musl']] as const;

export const tcpClosed: Scenario = {
  id: 'tcp-closed',
  title: 'TCP 53 refused',
  node: 'tcp-closed',
  question: FULLY_QUALIFIED,
  pods: TCP_PODS,
  columns: [BEFORE, OURS, ASSUMED],
  expect: {
    ...WITHOUT_TCP,
    'ours-unseen/glibc': { outcome: 'fails' },
    'ours-unseen/go': { atMostMs: 50 },
    'ours-unseen/other': { outcome: 'fails' },
  },
};

export const tcpDropped: Scenario = {
  id: 'tcp-dropped',
  title: 'TCP 53 silently dropped',
  node: 'tcp-dropped',
  question: FULLY_QUALIFIED,
  pods: TCP_PODS,
  columns: [BEFORE, OURS, ASSUMED],
  expect: {
    ...WITHOUT_TCP,
    'ours-unseen/glibc': { outcome: 'gives up' },
    'ours-unseen/go': { atMostMs: 50 },
    'ours-unseen/other': { outcome: 'gives up' },
  },
};

const UNHEEDED: Column = {
  ...OURS,
  id: 'ours-unheeded',
  title: 'policies not looked at',
  knowledge: { ...OURS.knowledge, policies: false },
};

/** DNS over UDP, to the Pods of the cluster DNS: what many namespaces have beside their default deny. */
export const policy: Scenario = {
  id: 'policy',
  title: 'A NetworkPolicy lets out UDP 53 alone',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: [['glibc', 'python'], ['go'], ['musl', 'musl-new']],
  policy: {
    egress: [
      {
        to: [
          {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
            podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
          },
        ],
        ports: [{ port: 53, protocol: 'UDP' }],
      },
    ],
    rules: ['tcp dport 53 drop', `ip daddr ${NODE_LOCAL.v4} drop`],
  },
  columns: [BEFORE, OURS, OURS_LOCAL, UNHEEDED],
  expect: {
    ...RACED_BEFORE,
    'ours/glibc': { atMostMs: 50, packets: ['two-ports-in-turn'] },
    'ours/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
    'ours/musl': { atLeastMs: 400, atMostMs: 600, packets: ['resent-early'] },
    'ours-local/glibc': { atMostMs: 50, packets: ['two-ports-in-turn'] },
    'ours-local/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
    // The cache is out of reach: no redirect.
    'ours-local/musl': { atLeastMs: 400, atMostMs: 600, packets: ['resent-early'] },
    'ours-unheeded/glibc': { outcome: 'gives up' },
    'ours-unheeded/go': { atMostMs: 50 },
  },
};

const onIpv6 = (column: Column): Column => ({ ...column, knowledge: { ...column.knowledge, family: 'v6' } });

export const ipv6: Scenario = {
  id: 'ipv6',
  title: 'Cluster DNS and node-local cache on IPv6',
  node: 'raced',
  question: FULLY_QUALIFIED,
  pods: [['glibc'], ['go'], ['musl', 'musl-new']],
  columns: [onIpv6(BEFORE), onIpv6(OURS), onIpv6(OURS_LOCAL)],
  expect: {
    ...RACED_BEFORE,
    'ours/glibc': { atMostMs: 50, packets: ['tcp'] },
    'ours/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
    'ours/musl': { atLeastMs: 400, atMostMs: 600, packets: ['resent-early'] },
    'ours-local/glibc': { atMostMs: 50, packets: ['tcp'] },
    'ours-local/go': { atMostMs: 50, packets: ['two-ports-at-once'] },
    'ours-local/musl': { atMostMs: 50, packets: ['answered-locally'] },
  },
};

const fast = (columns: readonly string[], kinds: readonly string[], atMostMs: number): Expectations =>
  Object.fromEntries(columns.flatMap((column) => kinds.map((kind) => [`${column}/${kind}`, { atMostMs }])));

export const healthy: Scenario = {
  id: 'healthy',
  title: 'Nothing is lost',
  node: 'healthy',
  question: FULLY_QUALIFIED,
  pods: [GLIBC, GO, ['node-resolve'], MUSL],
  columns: [BEFORE, OURS, OURS_LOCAL],
  expect: fast(['before', 'ours', 'ours-local'], ['glibc', 'go', 'other', 'musl'], 50),
};

export const intercepting: Scenario = {
  id: 'intercepting',
  title: 'A node-local cache that intercepts (iptables mode)',
  node: 'intercepting',
  question: FULLY_QUALIFIED,
  pods: [['glibc'], ['go'], ['musl', 'musl-new']],
  columns: [BEFORE, OURS],
  expect: fast(['before', 'ours'], ['glibc', 'go', 'musl'], 50),
};

export const slow: Scenario = {
  id: 'slow',
  title: 'The DNS server takes 1.2 s',
  node: 'slow',
  question: FULLY_QUALIFIED,
  pods: [['glibc'], ['go'], ['musl', 'musl-new']],
  columns: [BEFORE, OURS, PEERS.timeout],
  expect: {
    // Go asks twice with a timeout of a second, starting over each time.
    'peer-timeout/go': { outcome: 'fails' },
    // musl takes timeout:1 as the total and gives up before the answer comes.
    'peer-timeout/musl': { outcome: 'fails', atMostMs: 1100 },
    'ours/musl': { atMostMs: 1400 },
    'ours/go': { atMostMs: 1400 },
  },
};
