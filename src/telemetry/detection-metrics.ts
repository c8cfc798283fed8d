import { LRUCache } from 'lru-cache';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Sizes of detection's queue and memory. */
interface DetectionState {
  readonly underWay: number;
  readonly queued: number;
  readonly verdicts: number;
}

export interface DetectionMetrics {
  /** Counts a state change of a host's circuit breaker: `open`, `half-open`, `closed`. */
  breaker(host: string, state: string): void;
  /** Reads `state` at each scrape. Call it only once. */
  sizes(state: () => DetectionState): void;
}

/** Anyone who creates Pods chooses hosts: they are no label values, and at most this many are remembered. */
const MOST_HOSTS = 1024;

/** Milliseconds after which a host that is no longer called stops counting as failing. */
const FORGOTTEN_MS = 10 * 60_000;

export function createDetectionMetrics(registry: Registry): DetectionMetrics {
  const registers: [Registry] = [registry];
  const failing = new LRUCache<string, true>({ max: MOST_HOSTS, ttl: FORGOTTEN_MS });
  const changes = new Counter({
    name: 'libc_dns_registry_breaker_changes_total',
    help: 'Times that a registry began to be left alone (open), was tried again (half-open) or was well again (closed).',
    labelNames: ['state'],
    registers,
  });
  for (const state of ['open', 'half-open', 'closed']) changes.inc({ state }, 0);
  const gauge = (name: string, help: string, read: () => number): Gauge =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge('libc_dns_registries_failing', 'Registry hosts that kept failing and are left alone most of the time.', () => {
    failing.purgeStale();
    return failing.size;
  });
  return {
    breaker(host, state) {
      changes.inc({ state });
      if (state === 'closed') failing.delete(host);
      else failing.set(host, true);
    },
    sizes(state) {
      gauge('libc_dns_lookups_running', 'Registry look-ups under way.', () => state().underWay);
      gauge('libc_dns_lookups_queued', 'Registry look-ups that wait for others to end.', () => state().queued);
      gauge('libc_dns_verdicts_remembered', 'Verdicts in memory.', () => state().verdicts);
    },
  };
}
