import type { ClusterFacts, PolicyConfig } from '../policy/model.ts';
import { nodeLocalAddresses, nodeLocalReason, nodeLocalUsable } from '../policy/redirect.ts';
import { silentReporter } from '../telemetry/reporter.ts';
import { beforeAbort, pause } from '../util/abort.ts';
import {
  createDiscovery,
  type Discovery,
  type DiscoveryOptions,
  type KnownFacts,
  type Unread,
} from './dns-discovery.ts';
import { createPreflight, type Preflight } from './dns-over-tcp.ts';

export interface ClusterFactsOptions extends Omit<DiscoveryOptions, 'readMs'> {
  /** Milliseconds; for tests. */
  readonly times?: Partial<FactTimes>;
  /** 53 but in tests. */
  readonly dnsPort?: number;
}

interface FactTimes {
  /** Between looks, on average. */
  readonly everyMs: number;
  /** Before the next look where one could not read all it wanted; doubled at each further one, up to `everyMs`. */
  readonly againMs: number;
  /** For one object of the API. */
  readonly readMs: number;
  /** For one DNS server over TCP. */
  readonly tcpMs: number;
  /** Until `ready` resolves in any case. */
  readonly firstMs: number;
}

const TIMES: FactTimes = { everyMs: 45_000, againMs: 1000, readMs: 5000, tcpMs: 2000, firstMs: 2000 };

/** What is known of the cluster's DNS, kept up to date. */
export interface ClusterFactsSource {
  /** From the configuration and our own resolv.conf at first. What was known stays where it cannot be read again. */
  readonly current: KnownFacts;
  /** Resolves after the first look, or when it takes too long. Never rejects. */
  readonly ready: Promise<void>;
  /** What the last look could not read. */
  unread(): readonly Unread[];
  close(): Promise<void>;
}

/** The servers that a Pod with `use-vc` may ask: in a mixed Pod glibc asks what musl is redirected to. */
export function serversOfPods(facts: ClusterFacts, policy: PolicyConfig): readonly string[] {
  const redirects = policy.musl.remedy === 'auto' || policy.musl.remedy === 'redirect';
  const usable = nodeLocalUsable(facts, policy) && nodeLocalReason(facts, policy) === undefined;
  const toCache = redirects && usable && policy.mixedPods === 'redirect';
  return [...new Set([...(toCache ? nodeLocalAddresses(facts, policy) : []), ...facts.dns])];
}

/** The facts as fields of a log line. */
export function factsFields({ facts, sources, nodeLocalDetail }: KnownFacts): object {
  const { dns, domain, nodeSearches, nodeLocal, nodeLocalAddresses: addresses } = facts;
  return { dns, domain, nodeSearches, nodeLocal, nodeLocalAddresses: addresses, nodeLocalDetail, sources };
}

const compared = ({ facts, sources }: KnownFacts): string =>
  JSON.stringify([facts.dns, sources.dns, facts.nodeLocal, facts.nodeLocalAddresses]);

/** A wait that differs from the others of its kind by a third: the replicas of a webhook do not ask all at once. */
const jittered = (ms: number): number => ms * (2 / 3 + (Math.random() * 2) / 3);

interface Rounds {
  readonly discovery: Discovery;
  readonly preflight: Preflight | undefined;
  readonly times: FactTimes;
  readonly signal: AbortSignal;
  readonly publish: (known: KnownFacts) => void;
}

/** One round: facts are published only once their own servers have been asked over TCP. */
async function round({ discovery, preflight, signal, publish }: Rounds): Promise<void> {
  await discovery.look(signal);
  if (preflight !== undefined && !signal.aborted) await beforeAbort(preflight.look(), signal);
  if (signal.aborted) return;
  const known = discovery.known();
  publish({ ...known, facts: { ...known.facts, dnsOverTcp: preflight?.answered === true } });
}

async function goRound(rounds: Rounds, first: () => void): Promise<void> {
  const { discovery, times, signal } = rounds;
  let waitMs = times.againMs;
  while (!signal.aborted) {
    await round(rounds);
    first();
    const complete = discovery.unread().length === 0;
    waitMs = complete ? times.everyMs : Math.min(times.everyMs, waitMs);
    await pause(jittered(waitMs), signal);
    waitMs = complete ? times.againMs : waitMs * 2;
  }
}

/**
 * Cluster DNS, domain, node searches and node-local cache: from the configuration, our own resolv.conf and the API, read
 * anew about every 45 s; and whether the DNS servers that Pods ask answer over TCP.
 */
export function createClusterFacts(options: ClusterFactsOptions): ClusterFactsSource {
  const { policy, reporter = silentReporter, dnsPort = 53 } = options;
  const { log, metrics } = reporter;
  const times = { ...TIMES, ...options.times };
  const closing = new AbortController();
  const discovery = createDiscovery({ ...options, readMs: times.readMs });
  let current = discovery.known();
  const servers = (): readonly string[] => serversOfPods(discovery.known().facts, policy);
  const preflight = createPreflight({
    servers: () => servers().map((address) => ({ address, port: dnsPort, timeoutMs: times.tcpMs })),
    name: `kubernetes.default.svc.${current.facts.domain}`,
    onChange(answered) {
      metrics.dnsOverTcp(answered);
      log.info({ servers: servers(), answered }, 'cluster DNS over TCP: use-vc is given only where it answers');
    },
  });
  const publish = (known: KnownFacts): void => {
    const before = current;
    current = known;
    if (compared(known) === compared(before)) return;
    metrics.cluster.factsChanged();
    metrics.cluster.nodeLocal(known.facts.nodeLocal);
    log.info({ ...factsFields(known), before: factsFields(before) }, 'the cluster DNS has changed');
  };
  metrics.cluster.nodeLocal(current.facts.nodeLocal);
  const { promise: first, resolve } = Promise.withResolvers<void>();
  const running = goRound(
    { discovery, preflight: policy.glibc.tcpPreflight ? preflight : undefined, times, signal: closing.signal, publish },
    resolve,
  ).finally(resolve);
  return {
    get current() {
      return current;
    },
    ready: Promise.race([first, pause(times.firstMs, closing.signal)]),
    unread: () => discovery.unread(),
    async close() {
      closing.abort();
      await running;
    },
  };
}
