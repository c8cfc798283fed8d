import { Counter, Gauge, type Registry } from 'prom-client';

/** How the server itself does. */
export interface ServiceMetrics {
  /** Reads `isReady` at each scrape. */
  ready(isReady: () => boolean): void;
  /** A Pod was answered after its budget had ended. */
  late(): void;
  /** A line was not logged, for there were too many. */
  lineLeftOut(): void;
}

export function createServiceMetrics(registry: Registry): ServiceMetrics {
  const registers: [Registry] = [registry];
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  const late = counter(
    'libc_dns_late_answers_total',
    'Pods answered more than 100 ms after their budget: the event loop or the machine was busy.',
  );
  const leftOut = counter('libc_dns_log_lines_left_out_total', 'Lines not logged, for requests came too fast.');
  let isReady: (() => boolean) | undefined;
  registry.registerMetric(
    new Gauge({
      name: 'libc_dns_ready',
      help: '1 where this replica says that it can be called.',
      registers: [],
      collect() {
        this.set(isReady?.() === true ? 1 : 0);
      },
    }),
  );
  return {
    ready: (now) => {
      isReady = now;
    },
    late: () => late.inc(),
    lineLeftOut: () => leftOut.inc(),
  };
}
