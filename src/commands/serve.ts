import { X509Certificate } from 'node:crypto';
import { isIPv6 } from 'node:net';

import type { Command } from 'commander';
import type { FastifyInstance } from 'fastify';

import type { DrainTimes } from '../admission/drain.ts';
import { createEvaluator, type EvaluatorOptions } from '../admission/evaluate.ts';
import type { MutateOptions, Namespaces } from '../admission/mutate.ts';
import { createProbes } from '../admission/probes.ts';
import { createServer, type WebhookServer } from '../admission/server.ts';
import type { Callers } from '../certificates/clients/callers.ts';
import type { CertificateSource } from '../certificates/source.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { PodVerdictsOptions } from '../detection/pod/pod-verdicts.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { createLog } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createReporter, type Reporter } from '../telemetry/reporter.ts';
import { openTracing } from '../telemetry/open-tracing.ts';
import { helpText } from '../terminal/help.ts';
import {
  addClusterFlags,
  addFlags,
  type ClusterFlags,
  type CommonFlags,
  createSettingsReader,
  DNS_FLAGS,
  readSettings,
  shortValue,
} from '../terminal/flags.ts';
import { CommandError, type DetectingCommand } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import { createRequestLog, followLogLevel, type RequestLog } from './serve-log.ts';

/** The parts of a server that depend on the configuration. */
export interface ServerParts {
  readonly facts: () => ClusterFacts;
  /** Returns what network policies let Pods reach. Undefined: policies are not looked at. */
  readonly reach?: NonNullable<EvaluatorOptions['reach']>;
  readonly namespaces: Namespaces;
  readonly certificates: CertificateSource;
  /** Undefined: any caller may send reviews. */
  readonly callers?: Callers;
  readonly verdicts: PodVerdictsOptions;
  /** Called with each decision. */
  readonly onDecided?: NonNullable<MutateOptions['onDecided']>;
  /** Returns why the server cannot take requests; undefined if it can. */
  readonly notReady: () => string | undefined;
  readonly close: () => Promise<void>;
}

export interface ServeFlags extends CommonFlags, ClusterFlags {
  readonly namespace?: string;
}

/** What the parts of a server are opened with. */
export interface ServerContext {
  readonly config: Config;
  readonly flags: ServeFlags;
  readonly reporter: Reporter;
  readonly requests: RequestLog;
  /** Aborts when the server must stop, perhaps before it has started. */
  readonly signal: AbortSignal;
  /** Sets the reason that readiness gives until the parts are open. */
  readonly waitFor: (why: () => string | undefined) => void;
}

/** What a rehearsal of reviews decides with. */
export interface RehearsalContext extends Pick<ServerContext, 'config' | 'reporter' | 'signal'> {
  readonly facts: () => ClusterFacts;
  /** How many reviews. Default: as many as V8 needs. */
  readonly calls?: number;
}

export interface ServeParts extends DetectingCommand {
  readonly version: string;
  readonly inCluster: boolean;
  /** Waits for a certificate as long as needed. Rejects with `CommandError`. */
  readonly openServer: (context: ServerContext) => Promise<ServerParts>;
  /** Called once, after the server has read everything that it reads at the start. */
  readonly collectGarbage: () => void;
  /** Called once in a Pod, when the server has answered for its first Pod: answers made-up reviews, so that V8 compiles what answers them. Never rejects. */
  readonly rehearse: (context: RehearsalContext) => Promise<void>;
  /** Resolves at the first SIGTERM or SIGINT. */
  readonly untilStopped: () => Promise<string>;
  /** Calls back with 1 to log more, with -1 to log less. */
  readonly onVerbosity: (change: (by: 1 | -1) => void) => void;
}

const HELP = `
Examples:
  libc-dns serve --namespace-mode enforce --node-local on
  libc-dns serve --config /etc/libc-dns/config.yaml

POST /mutate answers AdmissionReviews over TLS; GET /livez, /readyz and /metrics are plain HTTP on their own port.
Outside a cluster and without a configured address it listens on 127.0.0.1, with a certificate of its own.`;

/** Adds `libc-dns serve`, which runs the webhook. */
export function serveCommand(program: Command, parts: ServeParts): void {
  const command = program
    .command('serve')
    .description('run the webhook')
    .option(
      '-n, --namespace <name>',
      'namespace of the webhook (default: that of the context, or of the Pod)',
      shortValue,
    )
    .addHelpText('after', helpText(HELP));
  addClusterFlags(command, 'join the cluster of this kubeconfig (default in a Pod: its own cluster)');
  addFlags(command, ['config', 'namespaceMode', ...DNS_FLAGS, 'offline', 'platform', 'logLevel']).action(
    (flags: ServeFlags) => serve(parts, flags),
  );
}

/** Milliseconds from readiness to the garbage collection, which so ends before the first calls arrive. */
const TIDY_UP_MS = 500;

/** Milliseconds from the first decision to the rehearsal: later than the garbage collection. */
const REHEARSE_MS = 1000;

/** Kubernetes takes an endpoint out of the Service within a few seconds of SIGTERM, and gives a Pod 30 s by default. */
const DRAIN = { cluster: { quietMs: 5000, mostMs: 25_000 }, alone: { quietMs: 500, mostMs: 5000 } } as const;

/** Wins the race against `openServer` if the process is told to stop first. */
const STOPPED = Symbol('stopped');

const starting = (): string => 'starting';

async function serve(parts: ServeParts, flags: ServeFlags): Promise<void> {
  const { config, isSet } = await readSettings(parts.io, flags);
  const format = parts.io.stderrIsTerminal && !isSet('log.format') ? 'text' : config.log.format;
  const log = createLog({ level: config.log.level, format });
  const metrics = createMetrics(parts.version);
  const untraced = createReporter({ log, metrics, clock: systemClock });
  const tracing = await openTracing(parts.io.environment, { version: parts.version, reporter: untraced });
  const reporter = tracing === undefined ? untraced : { ...untraced, tracer: tracing.tracer };
  const requests = createRequestLog(log, metrics);
  const host = parts.inCluster || isSet('server.address') ? config.server.address : '127.0.0.1';
  const stopping = new AbortController();
  const stopped = parts.untilStopped();
  let state: () => string | undefined = starting;
  const probes = createProbes({ metrics, notReady: () => state() });
  metrics.service.ready(() => state() === undefined);
  const unfollow = followLogLevel({
    log,
    read: createSettingsReader(parts.io, flags),
    running: config,
    onVerbosity: parts.onVerbosity,
  });
  const closing: (() => unknown)[] = [() => tracing?.close(), unfollow, () => probes.close(), () => stopping.abort()];
  try {
    const probesAt = await listen(probes, host, config.server.metricsPort, 'server.metricsPort');
    const waitFor = (why: () => string | undefined): void => {
      state = () => why() ?? 'starting';
    };
    const context = { config, flags, reporter, requests, signal: stopping.signal, waitFor };
    const opening = parts.openServer(context);
    const opened = await Promise.race([opening, stopped.then((): typeof STOPPED => STOPPED)]);
    if (opened === STOPPED) {
      stopping.abort();
      const late = await opening.catch(() => undefined);
      await late?.close();
      return;
    }
    closing.push(opened.close);
    const isPod = parts.inCluster;
    const rehearsal = { ...context, facts: opened.facts, signal: abortedBy(stopped) };
    const rehearsed = isPod ? withRehearsal(opened, parts, rehearsal) : opened;
    const server = startServer(context, rehearsed, isPod ? DRAIN.cluster : DRAIN.alone);
    closing.push(() => server.app.close());
    const mutateAt = await listen(server.app, host, config.server.port, 'server.port');
    state = () => notReady(server, opened);
    log.info({ mutate: `${mutateAt}/mutate`, probes: probesAt, version: parts.version }, 'ready');
    setTimeout(parts.collectGarbage, TIDY_UP_MS).unref();
    const signal = await stopped;
    log.info({ signal }, 'shutting down: serving until no more calls come');
    await server.drain.start();
  } finally {
    for (const close of closing.toReversed()) await close();
  }
  log.info('stopped');
}

/**
 * Lets V8 compile what answers reviews once the first Pod has come. A replica that no Pod reaches does without, and is 20 MiB smaller.
 * The garbage collection must come before: a full one throws away compiled code.
 */
function withRehearsal(opened: ServerParts, { rehearse }: ServeParts, context: RehearsalContext): ServerParts {
  let begun = false;
  return {
    ...opened,
    onDecided(decision) {
      opened.onDecided?.(decision);
      if (begun) return;
      begun = true;
      setTimeout(() => {
        if (!context.signal.aborted) void rehearse(context);
      }, REHEARSE_MS).unref();
    },
  };
}

/** Returns a signal that aborts once the process is told to stop: long before `stopping`, which waits until no calls come. */
function abortedBy(stopped: Promise<unknown>): AbortSignal {
  const leaving = new AbortController();
  void stopped.then(() => leaving.abort());
  return leaving.signal;
}

function startServer(
  { config, reporter, requests }: ServerContext,
  opened: ServerParts,
  drain: DrainTimes,
): WebhookServer {
  const { facts, reach, namespaces, certificates, callers, verdicts, onDecided } = opened;
  return createServer({
    evaluator: createEvaluator({ config: policyConfig(config), cluster: facts, verdicts, ...(reach && { reach }) }),
    namespaces,
    budget: config.detection.budget,
    warnings: config.server.warnings,
    verified: callers !== undefined,
    metrics: reporter.metrics,
    ...(reporter.tracer && { tracer: reporter.tracer }),
    ...requests,
    ...(onDecided !== undefined && { onDecided }),
    certificates,
    ...(callers && { callers }),
    drain,
  });
}

function notReady(server: WebhookServer, { certificates, notReady: elsewhere }: ServerParts): string | undefined {
  if (server.drain.draining) return 'shutting down';
  const expires = new X509Certificate(certificates.current().cert).validToDate;
  return expires.getTime() < Date.now() ? `the certificate expired at ${expires.toISOString()}` : elsewhere();
}

/** Returns the URL of the address that it listens on: for all addresses 0.0.0.0 or [::], where Fastify would name the loopback. */
async function listen(app: Pick<FastifyInstance, 'listen'>, host: string, port: number, key: string): Promise<string> {
  try {
    const url = new URL(await app.listen({ host, port }));
    const isWildcard = host === '0.0.0.0' || host === '::';
    return isWildcard ? `${url.protocol}//${isIPv6(host) ? `[${host}]` : host}:${url.port}` : url.origin;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new CommandError('failed', `port ${port} on ${host} is in use: stop what listens there or set ${key}`);
    }
    if (code === 'EACCES') throw new CommandError('failed', `port ${port} on ${host} needs more rights: set ${key}`);
    throw new CommandError('failed', `cannot listen on ${host} port ${port} (${key}): ${message}`, { cause: error });
  }
}
