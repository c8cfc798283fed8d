import type { ClusterFacts, Decision, Reach } from '../../src/policy/model.ts';
import type { Resolver } from '../../src/policy/verdict.ts';
import { decideFor, facts, policy } from './policy.ts';

interface Circumstance {
  readonly title: string;
  readonly cluster?: Partial<ClusterFacts>;
  readonly reach?: Partial<Reach>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly metadata?: Record<string, unknown>;
}

const CACHE = '169.254.20.10';

const READY = { nodeLocal: 'ready', nodeLocalAddresses: [CACHE] } as const;

const RESOLVERS: readonly (readonly Resolver[])[] = [
  ['glibc'],
  ['unknown'],
  ['go'],
  ['glibc', 'go'],
  ['musl'],
  ['musl', 'glibc'],
  ['musl', 'go'],
];

const CACHES: readonly Circumstance[] = [
  { title: 'ready', cluster: READY },
  { title: 'none', cluster: { nodeLocal: 'absent' } },
  { title: 'not known', cluster: { nodeLocal: 'unknown' } },
  { title: 'intercepting', cluster: { nodeLocal: 'intercepting', nodeLocalAddresses: [CACHE] } },
  { title: 'unready', cluster: { nodeLocal: 'unready', nodeLocalAddresses: [CACHE] } },
  { title: 'not allowed', cluster: READY, reach: { nodeLocalUdp: 'denied' } },
  { title: 'not on virtual nodes', cluster: READY, labels: { 'alibabacloud.com/eci': 'true' } },
];

const IN_POD: Circumstance = {
  title: 'in the Pod',
  metadata: { annotations: { 'libc-dns.dev/remedy': 'sidecar' } },
};

const TCP: readonly Circumstance[] = [
  { title: 'answers', cluster: { dnsOverTcp: true } },
  { title: 'no answer', cluster: { dnsOverTcp: false } },
  { title: 'not allowed', cluster: { dnsOverTcp: true }, reach: { dnsTcp: 'denied', nodeLocalTcp: 'denied' } },
];

const NAMES: Readonly<Record<string, string>> = {
  [CACHE]: 'cache',
  '10.96.0.10': 'cluster DNS',
  '127.0.0.1': '127.0.0.1',
};

const HEAD = ['resolvers', 'node-local cache', 'DNS over TCP', 'remedy', 'options', 'nameservers', 'reason'];

const code = (text: string): string => `\`${text}\``;

/** What is done to a Pod: remedy, options, nameservers. */
const done = ({ remedy, change }: Decision): readonly string[] => [
  remedy.join(', ') || 'none',
  (change?.options ?? []).map(({ name, value }) => code(value === undefined ? name : `${name}:${value}`)).join(' '),
  (change?.nameservers ?? []).map((address) => NAMES[address] ?? address).join(', '),
];

type Decide = (cache: Circumstance, tcp: Circumstance) => Decision;

const decideIn =
  (resolvers: readonly Resolver[], exposed: boolean): Decide =>
  (cache, tcp) =>
    decideFor({
      resolvers,
      config: policy(exposed ? {} : { exposure: 'auto' }),
      cluster: { ...facts, ...cache.cluster, ...tcp.cluster, exposed },
      reach: { ...cache.reach, ...tcp.reach },
      labels: cache.labels ?? {},
      metadata: cache.metadata ?? {},
    });

/** Groups what the same follows from. */
const alike = <One>(all: readonly One[], from: (one: One) => unknown): (readonly One[])[] => [
  ...Map.groupBy(all, (one) => JSON.stringify(from(one))).values(),
];

function titles(some: readonly Circumstance[], all: readonly Circumstance[]): string {
  if (some.length === all.length) return 'any';
  const [left, ...others] = all.filter((one) => !some.includes(one));
  return left !== undefined && others.length === 0 && all.length > 3
    ? `any but ${left.title}`
    : some.map(({ title }) => title).join(', ');
}

function rowsIn(caches: readonly Circumstance[], label: string, decide: Decide): (readonly string[])[] {
  const follows = (tcp: Circumstance) => caches.map((one) => [done(decide(one, tcp)), decide(one, tcp).reason]);
  return alike(TCP, follows).map((tcps) => {
    const decisions = tcps.slice(0, 1).flatMap((tcp) => caches.map((one) => decide(one, tcp)));
    const reasons = new Set(decisions.map(({ reason }) => code(reason)));
    return [label, titles(tcps, TCP)].concat(decisions.slice(0, 1).flatMap(done), [...reasons].join(', '));
  });
}

function rowsFor(resolvers: readonly Resolver[]): (readonly string[])[] {
  const decide = decideIn(resolvers, true);
  const groups = alike(CACHES, (cache) => TCP.map((tcp) => done(decide(cache, tcp))));
  const rows = groups.flatMap((caches) => rowsIn(caches, titles(caches, CACHES), decide));
  return resolvers.includes('musl') ? [...rows, ...rowsIn([IN_POD], IN_POD.title, decide)] : rows;
}

/** Returns the rows of all resolvers. Pods to which the same is done share them. */
const rowsByResolvers = (): (readonly string[])[] =>
  alike(RESOLVERS, rowsFor).flatMap((same) => {
    const label = same.map((resolvers) => resolvers.join(', ')).join('; ');
    return same
      .slice(0, 1)
      .flatMap(rowsFor)
      .map((cells) => [label].concat(cells));
  });

/** Throws unless nothing is done in any circumstance while no node is exposed. */
function notExposedRow(): readonly string[] {
  const all = RESOLVERS.flatMap((resolvers) => rowsIn([...CACHES, IN_POD], 'any', decideIn(resolvers, false)));
  const [first = [], ...others] = [...Map.groupBy(all, (cells) => cells.join('|')).values()].map(
    ([cells = []]) => cells,
  );
  if (others.length > 0) throw new Error('what is done depends on more than exposure where no node is exposed');
  return ['any, while no node is exposed (`exposure: auto`)', ...first];
}

/**
 * Returns the head and the rows of the table in docs/architecture.md: what `decide` does with the default configuration, by the
 * resolvers in a Pod (`glibc; glibc, go`: glibc alone, or with Go) and what is known of the cluster. Circumstances in which the same is
 * done share a row, which lists their reasons in their order. The cache in the Pod has rows for Pods with musl alone.
 */
export const remedyTable = (): readonly (readonly string[])[] => [HEAD, ...rowsByResolvers(), notExposedRow()];
