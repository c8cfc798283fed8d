import { LRUCache } from 'lru-cache';
import { Counter, Gauge, type Registry } from 'prom-client';

/** Sizes of detection's queue and memory. */
interface DetectionState {
  readonly underWay: number;
  readonly queued: number;
  readonly verdicts: number;
}

export interface DetectionMetrics {
  /** Counts a state change of a circuit breaker: `open`, `half-open`, `closed`. `name`: of the registry or repository. */
  breaker(name: string, state: string): void;
  /** Counts a reader process that ended although it was wanted. `cause`: from a closed set. */
  readerEnded(cause: string): void;
  /** Counts look-ups that are run again, one by one, because a reader process ended under them. */
  suspected(lookups: number): void;
  /** Counts an image that is not read again for a while, because it ended a reader process. */
  quarantined(): void;
  /** Reads the resident bytes of the reader processes at each scrape. Call it only once. */
  readers(residentBytes: () => number): void;
  /** Reads `state` at each scrape. Call it only once. */
  sizes(state: () => DetectionState): void;
}

/** Anyone who creates Pods chooses the names: they are no label values, and at most this many are remembered. */
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
  gauge(
    'libc_dns_registries_failing',
    'Registries, or repositories of them, that kept failing and are left alone most of the time.',
    () => {
      failing.purgeStale();
      return failing.size;
    },
  );
  return {
    ...createReaderMetrics(registers, gauge),
    breaker(name, state) {
      changes.inc({ state });
      if (state === 'closed') failing.delete(name);
      else failing.set(name, true);
    },
    sizes(state) {
      gauge('libc_dns_lookups_running', 'Registry look-ups under way.', () => state().underWay);
      gauge('libc_dns_lookups_queued', 'Registry look-ups that wait for others to end.', () => state().queued);
      gauge('libc_dns_verdicts_remembered', 'Verdicts in memory.', () => state().verdicts);
    },
  };
}

/** The causes for which a reader process ends. Present from the start, so that an increase of each can be alerted on. */
const READER_ENDS = ['memory', 'unresponsive', 'stuck', 'exit', 'start'];

function createReaderMetrics(
  registers: [Registry],
  gauge: (name: string, help: string, read: () => number) => Gauge,
): Pick<DetectionMetrics, 'readerEnded' | 'suspected' | 'quarantined' | 'readers'> {
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  const ends = new Counter({
    name: 'libc_dns_reader_ends_total',
    help: 'Reader processes that ended although they were wanted, or did not start.',
    labelNames: ['cause'],
    registers,
  });
  for (const cause of READER_ENDS) ends.inc({ cause }, 0);
  const suspects = counter(
    'libc_dns_reader_suspects_total',
    'Look-ups that were run again one by one, because a reader process ended under them.',
  );
  const quarantined = counter(
    'libc_dns_images_quarantined_total',
    'Images that are not read again for a while, because they ended a reader process.',
  );
  return {
    readerEnded: (cause) => ends.inc({ cause }),
    suspected: (lookups) => suspects.inc(lookups),
    quarantined: () => quarantined.inc(),
    readers: (read) => void gauge('libc_dns_reader_resident_bytes', 'Resident memory of the reader processes.', read),
  };
}
