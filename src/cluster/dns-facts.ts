import { serversOfPods } from '../policy/redirect.ts';
import { silentReporter } from '../telemetry/reporter.ts';
import { beforeAbort, jittered, pause } from '../util/abort.ts';
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
  /** 53, except in tests. */
  readonly dnsPort?: number;
}

interface FactTimes {
  /** Between refreshes, on average. */
  readonly intervalMs: number;
  /** Between two looks at the node-local cache, on average. */
  readonly cacheMs: number;
  /** Between an incomplete refresh and the next; doubled each time, up to `intervalMs`. */
  readonly retryMs: number;
  /** For one object of the API. */
  readonly readMs: number;
  /** For one DNS server over TCP. */
  readonly tcpMs: number;
  /** Until `ready` resolves at the latest. */
  readonly readyMs: number;
}

const TIMES: FactTimes = { intervalMs: 45_000, cacheMs: 5000, retryMs: 1000, readMs: 5000, tcpMs: 2000, readyMs: 2000 };

/** What is known of the cluster's DNS, kept up to date. */
export interface ClusterFactsSource {
  /** At first from the configuration and our own resolv.conf. A fact that can no longer be read stays. */
  readonly current: KnownFacts;
  /** Resolves after the first refresh, or when it takes too long. Never rejects. */
  readonly ready: Promise<void>;
  /** Returns the objects that the last refresh could not read. */
  unread(): readonly Unread[];
  close(): Promise<void>;
}

/**
 * Finds cluster DNS, domain, node searches and node-local cache in the configuration, our own resolv.conf and the API, which
 * it reads about every 45 s (the cache every 5 s), and checks whether the DNS servers that Pods ask answer over TCP.
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
    if (comparable(known) === comparable(before)) return;
    metrics.cluster.factsChanged();
    metrics.cluster.nodeLocal(known.facts.nodeLocal);
    log.info({ ...factsFields(known), before: factsFields(before) }, 'the cluster DNS has changed');
  };
  metrics.cluster.nodeLocal(current.facts.nodeLocal);
  const { promise: first, resolve } = Promise.withResolvers<void>();
  const running = keepRefreshing(
    { discovery, preflight: policy.glibc.tcpPreflight ? preflight : undefined, times, signal: closing.signal, publish },
    resolve,
  ).finally(resolve);
  return {
    get current() {
      return current;
    },
    ready: Promise.race([first, pause(times.readyMs, closing.signal)]),
    unread: () => discovery.unread(),
    async close() {
      closing.abort();
      await running;
    },
  };
}

/** Returns the facts as fields of a log line. */
export function factsFields({ facts, sources, nodeLocalDetail }: KnownFacts): object {
  const { dns, domain, nodeSearches, nodeLocal, nodeLocalAddresses: addresses } = facts;
  return { dns, domain, nodeSearches, nodeLocal, nodeLocalAddresses: addresses, nodeLocalDetail, sources };
}

const comparable = ({ facts, sources }: KnownFacts): string =>
  JSON.stringify([facts.dns, sources.dns, facts.nodeLocal, facts.nodeLocalAddresses]);

interface Refreshing {
  readonly discovery: Discovery;
  readonly preflight: Preflight | undefined;
  readonly times: FactTimes;
  readonly signal: AbortSignal;
  readonly publish: (known: KnownFacts) => void;
}

/** Publishes facts only after their DNS servers have been asked over TCP. */
async function refresh({ discovery, preflight, signal, publish }: Refreshing): Promise<void> {
  await discovery.refresh(signal);
  if (preflight !== undefined && !signal.aborted) await beforeAbort(preflight.check(), signal);
  if (signal.aborted) return;
  const known = discovery.known();
  publish({ ...known, facts: { ...known.facts, dnsOverTcp: preflight?.answered === true } });
}

async function keepRefreshing(refreshing: Refreshing, onFirst: () => void): Promise<void> {
  const { discovery, times, signal } = refreshing;
  let waitMs = times.retryMs;
  while (!signal.aborted) {
    await refresh(refreshing);
    onFirst();
    const complete = discovery.unread().length === 0;
    waitMs = complete ? times.intervalMs : Math.min(times.intervalMs, waitMs);
    await untilDue(refreshing, jittered(waitMs));
    waitMs = complete ? times.retryMs : waitMs * 2;
  }
}

/** Waits until the next refresh is due. Looks at the node-local cache meanwhile, and ends at once if its state has changed. */
async function untilDue({ discovery, times, signal }: Refreshing, waitMs: number): Promise<void> {
  const due = performance.now() + waitMs;
  const before = comparable(discovery.known());
  while (!signal.aborted) {
    const left = due - performance.now();
    const lookMs = jittered(times.cacheMs);
    if (discovery.lookAtCache === undefined || left <= lookMs) {
      await pause(Math.max(0, left), signal);
      return;
    }
    await pause(lookMs, signal);
    await discovery.lookAtCache(signal);
    if (comparable(discovery.known()) !== before) return;
  }
}
