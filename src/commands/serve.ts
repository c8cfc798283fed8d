import type { Command } from 'commander';
import { X509Certificate } from 'node:crypto';
import type { FastifyInstance } from 'fastify';

import type { CertificateSource } from '../admission/certificates.ts';
import { createEvaluator } from '../admission/evaluate.ts';
import type { Namespaces } from '../admission/mutate.ts';
import { createProbes } from '../admission/probes.ts';
import { createServer, type WebhookServer } from '../admission/server.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { DetectorHooks } from '../libc/detector-hooks.ts';
import { parsePlatform } from '../libc/platform.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { CommandError } from './errors.ts';
import type { DetectingCommand } from './detector-part.ts';
import { addCommonFlags, readSettings, type CommonFlags } from './settings.ts';

/** What the server is told of the cluster it runs in, or of its absence. */
export interface ClusterParts {
  readonly facts: () => ClusterFacts;
  readonly namespaces: Namespaces;
  readonly close: () => void;
}

export interface ServeParts extends DetectingCommand {
  readonly version: string;
  readonly inCluster: boolean;
  readonly openCluster: (config: Config, flags: CommonFlags, log: Log, metrics: Metrics) => Promise<ClusterParts>;
  readonly openCertificates: (config: Config, log: Log, metrics: Metrics) => Promise<CertificateSource>;
  /** Resolves at the first SIGTERM or SIGINT. */
  readonly untilStopped: () => Promise<string>;
}

/**
 * Endpoints are taken out of the Service within a few seconds of SIGTERM; the longest wait stays below the 30 s that a
 * Pod has by default.
 */
const DRAIN = { cluster: { quietMs: 5000, mostMs: 25_000 }, alone: { quietMs: 500, mostMs: 5000 } } as const;

const HELP = `
Examples:
  libc-dns serve --namespace-mode enforce --node-local on
  libc-dns serve --config /etc/libc-dns/config.yaml

POST /mutate answers AdmissionReviews over TLS; GET /livez, /readyz and /metrics are plain HTTP on their own port.
Outside a cluster and without a configured address it listens on 127.0.0.1, with a certificate of its own.`;

async function listen(app: Pick<FastifyInstance, 'listen'>, host: string, port: number, key: string): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new CommandError('failed', `port ${port} on ${host} is in use: stop what listens there or set ${key}`);
    }
    if (code === 'EACCES') throw new CommandError('failed', `port ${port} on ${host} needs more rights: set ${key}`);
    throw new CommandError('failed', `cannot listen on ${host} port ${port} (${key}): ${message}`, { cause: error });
  }
}

function notReady(server: WebhookServer, certificates: CertificateSource): string | undefined {
  if (server.drain.draining) return 'shutting down';
  const expires = new X509Certificate(certificates.current().cert).validToDate;
  return expires.getTime() < Date.now() ? `the certificate expired at ${expires.toISOString()}` : undefined;
}

function detectionHooks(metrics: Metrics, log: Log): DetectorHooks {
  return {
    onDetection: ({ from, failure }) => metrics.detected(from, failure ?? 'none'),
    onLookup: ({ failure, durationMs, bytes }) => metrics.lookedUp(failure ?? 'none', durationMs / 1000, bytes),
    onError: (error) => log.error({ err: error }, 'a look-up failed in an unexpected way'),
  };
}

/** What the configuration asks for and this version does not do: said, so that nobody counts on it. */
function notYet({ detection, nodeLocal }: Config): string[] {
  return [
    ...(detection.registry.pullSecrets ? ['detection.registry.pullSecrets: pull secrets are not read yet'] : []),
    ...(detection.cache.store === 'cluster' ? ['detection.cache.store cluster: verdicts stay in memory'] : []),
    ...(nodeLocal.mode === 'auto'
      ? ['nodeLocal.mode auto: the node-local cache is not looked for yet, use on or off']
      : []),
  ];
}

async function serve(parts: ServeParts, flags: CommonFlags): Promise<void> {
  const { config, isSet } = await readSettings(parts.io, flags);
  const format = parts.io.stderrIsTerminal && !isSet('log.format') ? 'text' : config.log.format;
  const log = createLog({ level: config.log.level, format });
  const metrics = createMetrics(parts.version);
  for (const warning of notYet(config)) log.warn(warning);
  const certificates = await parts.openCertificates(config, log, metrics);
  const cluster = await parts.openCluster(config, flags, log, metrics);
  const { detector, close } = await parts.openDetector(config, { hooks: detectionHooks(metrics, log) });
  const platform = parsePlatform(config.detection.platform);
  const verdicts = { platform, ...(detector !== undefined && { detector }) };
  const server = createServer({
    evaluate: createEvaluator({ config: policyConfig(config), cluster: cluster.facts, verdicts }),
    namespaces: cluster.namespaces,
    budget: config.detection.budget,
    warnings: config.server.warnings,
    metrics,
    log,
    certificates,
    drain: parts.inCluster ? DRAIN.cluster : DRAIN.alone,
  });
  const probes = createProbes({ metrics, notReady: () => notReady(server, certificates) });
  const host = parts.inCluster || isSet('server.address') ? config.server.address : '127.0.0.1';
  try {
    const mutateAt = await listen(server.app, host, config.server.port, 'server.port');
    const probesAt = await listen(probes, host, config.server.metricsPort, 'server.metricsPort');
    log.info({ mutate: `${mutateAt}/mutate`, probes: probesAt, version: parts.version }, 'ready');
    const signal = await parts.untilStopped();
    log.info({ signal }, 'shutting down: answering until nobody calls any more');
    await server.drain.start();
  } finally {
    await Promise.all([server.app.close(), probes.close(), close()]);
    cluster.close();
    certificates.close();
  }
  log.info('stopped');
}

/** `libc-dns serve`: the webhook. */
export function serveCommand(program: Command, parts: ServeParts): void {
  const command = program.command('serve').description('run the webhook').addHelpText('after', HELP);
  addCommonFlags(command).action((flags: CommonFlags) => serve(parts, flags));
}
