import { resolverName } from '../policy/verdict.ts';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { Decision } from '../policy/model.ts';
import { type ClusterMetrics, createClusterMetrics } from './cluster-metrics.ts';
import { createDetectionMetrics, type DetectionMetrics } from './detection-metrics.ts';
import { measureEventLoop, NEVER_SAMPLED } from './event-loop.ts';

/** The server's metrics. Label values come from closed sets only. */
export interface Metrics {
  /** Returns a function that counts one Pod with this decision. `seconds`: from the parsed request to the response. */
  decided(decision: Decision): (seconds: number) => void;
  /** Counts a request that does not create a Pod. */
  passedBy(): void;
  /** Counts an error of our own; the Pod was admitted unchanged. */
  failed(): void;
  /** Counts a request that was answered with an HTTP error. */
  refused(status: number): void;
  /** Counts a call that was refused for its client certificate. */
  callerRefused(reason: string): void;
  /** Says when the last CA of `tls.clientCaFile` expires. Without a call there is no such metric. */
  clientCa(expires: Date): void;
  /** Counts a verdict by its source. `failure` says why there is none; `none` if there is one. */
  detected(from: string, failure: string): void;
  /** Counts a look-up that ended. */
  lookedUp(failure: string, seconds: number, bytes: number): void;
  certificate(expires: Date): void;
  certificateFailed(): void;
  /** Says whether the cluster DNS answered over TCP. Without a call there is no such metric. */
  dnsOverTcp(answered: boolean): void;
  readonly cluster: ClusterMetrics;
  readonly detection: DetectionMetrics;
  readonly service: ServiceMetrics;
  /** The Prometheus text format, and its content type. */
  readonly contentType: string;
  render(): Promise<string>;
}

/** Metrics about the server itself. */
interface ServiceMetrics {
  /** Reads `isReady` at each scrape. */
  ready(isReady: () => boolean): void;
  /** Counts a response sent after its budget had ended. */
  late(): void;
  /** Counts a connection that had to give way to a new one, by the port that it had. */
  connectionClosed(port: 'admission' | 'metrics'): void;
  /** Counts a line that was not logged because there were too many. */
  lineLeftOut(): void;
}

/** `ofProcess: false` leaves out what prom-client tells of the process, which costs it something as long as it runs. */
export function createMetrics(version: string, { ofProcess = true } = {}): Metrics {
  const registry = new Registry();
  if (ofProcess) collectDefaultMetrics({ register: registry, ...NEVER_SAMPLED });
  const readEventLoop = ofProcess ? measureEventLoop(registry) : () => {};
  const instruments = createInstruments(registry);
  instruments.build.set({ version }, 1);
  return {
    decided({ mode, remedy, reason, containers, change }) {
      const sums = [
        instruments.decisions(`${mode} ${remedy.join('+') || 'none'} ${reason}`),
        ...containers.map((one) => instruments.containers(`${resolverName(one)} ${one.evidence.source}`)),
      ];
      const overTcp = mode === 'enforce' && change?.options.some(({ name }) => name === 'use-vc');
      return (seconds) => {
        for (const sum of sums) sum.pending += 1;
        if (overTcp) instruments.overTcp.inc();
        instruments.duration.observe(seconds);
      };
    },
    passedBy: () => instruments.others.inc(),
    failed: () => instruments.failures.inc(),
    refused: (status) => instruments.refusals.inc({ status: String(status) }),
    callerRefused: (reason) => instruments.callers.inc({ reason }),
    clientCa: (expires) => instruments.clientCa().set(expires.getTime() / 1000),
    detected: (from, failure) => void (instruments.detections(`${from} ${failure}`).pending += 1),
    lookedUp(failure, seconds, bytes) {
      instruments.lookups.inc({ failure });
      instruments.lookupBytes.inc(bytes);
      instruments.lookupDuration.observe(seconds);
    },
    certificate: (expires) => instruments.expiry.set(expires.getTime() / 1000),
    certificateFailed: () => instruments.reloads.inc(),
    dnsOverTcp: (answered) => instruments.tcp().set(answered ? 1 : 0),
    cluster: createClusterMetrics(registry),
    detection: createDetectionMetrics(registry),
    service: createServiceMetrics(registry),
    contentType: registry.contentType,
    render() {
      readEventLoop();
      return registry.metrics();
    },
  };
}

const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Counts since the last scrape. */
interface Sum {
  pending: number;
}

/** Returns the sum for label values, given in the order of the label names and separated by spaces. */
type Tally = (labels: string) => Sum;

/**
 * A cheap counter for what is counted with each Pod. It passes its sums to prom-client only at a scrape, because prom-client
 * checks label names and values at every call. Label values must not contain spaces.
 */
function tally(registers: [Registry], name: string, help: string, labelNames: readonly string[]): Tally {
  const sums = new Map<string, Sum>();
  const counter = new Counter({
    name,
    help,
    labelNames,
    registers,
    collect() {
      for (const [labels, sum] of sums) {
        if (sum.pending > 0) counter.labels(...labels.split(' ')).inc(sum.pending);
        sum.pending = 0;
      }
    },
  });
  return (labels) => {
    let sum = sums.get(labels);
    if (sum === undefined) sums.set(labels, (sum = { pending: 0 }));
    return sum;
  };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

function createInstruments(registry: Registry) {
  const registers: [Registry] = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name, help, labelNames, registers });
  return {
    decisions: tally(registers, 'libc_dns_decisions_total', 'Pods decided about.', ['mode', 'remedy', 'reason']),
    containers: tally(registers, 'libc_dns_containers_total', 'Containers decided about.', ['resolver', 'source']),
    others: counter('libc_dns_other_requests_total', 'Admission requests that do not create a Pod.'),
    failures: counter('libc_dns_failures_total', 'Errors of our own; the Pod was admitted as it was.'),
    refusals: counter('libc_dns_bad_requests_total', 'Requests answered with an HTTP error.', ['status']),
    callers: counter('libc_dns_refused_callers_total', 'Calls refused for their client certificate.', ['reason']),
    reloads: counter('libc_dns_certificate_reload_failures_total', 'New certificates that could not be used.'),
    expiry: gauge('libc_dns_certificate_expiry_timestamp_seconds', 'When the serving certificate expires, Unix time.'),
    clientCa: once(() =>
      gauge(
        'libc_dns_client_ca_expiry_timestamp_seconds',
        'When the last CA of client certificates expires, Unix time.',
      ),
    ),
    overTcp: counter('libc_dns_pods_with_use_vc_total', 'Pods that were given use-vc.'),
    // Nobody has asked before the first preflight: that is not a 0.
    tcp: once(() =>
      gauge('libc_dns_cluster_dns_over_tcp', '1 where the cluster DNS answered the last preflight over TCP.'),
    ),
    build: gauge('libc_dns_build_info', 'Always 1.', ['version']),
    detections: tally(registers, 'libc_dns_detections_total', 'Verdicts asked for.', ['from', 'failure']),
    lookups: counter('libc_dns_lookups_total', 'Registry look-ups that ended.', ['failure']),
    lookupBytes: counter('libc_dns_lookup_bytes_total', 'Response bytes read from registries.'),
    lookupDuration: new Histogram({
      name: 'libc_dns_lookup_duration_seconds',
      help: 'Time of a registry look-up.',
      buckets: BUCKETS,
      registers,
    }),
    duration: new Histogram({
      name: 'libc_dns_decision_duration_seconds',
      help: 'Time from the parsed request to the answer.',
      buckets: BUCKETS,
      registers,
    }),
  };
}

function createServiceMetrics(registry: Registry): ServiceMetrics {
  const registers: [Registry] = [registry];
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  const late = counter(
    'libc_dns_late_answers_total',
    'Pods answered more than 100 ms after their budget: the event loop or the machine was busy.',
  );
  const leftOut = counter('libc_dns_log_lines_left_out_total', 'Lines not logged, for requests came too fast.');
  const closed = new Counter({
    name: 'libc_dns_connections_closed_total',
    help: 'Connections that gave way to new ones: there were too many.',
    labelNames: ['port'],
    registers,
  });
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
    connectionClosed: (port) => closed.inc({ port }),
    lineLeftOut: () => leftOut.inc(),
  };
}
