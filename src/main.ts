#!/usr/bin/env node
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, readdir, stat } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

import packageJson from '../package.json' with { type: 'json' };
import type { CertificatePair, CertificateSource } from './admission/certificates.ts';
import { CommandError } from './commands/errors.ts';
import type { Io } from './commands/io.ts';
import { configuredFacts } from './commands/configured-facts.ts';
import { run } from './commands/program.ts';
import type { ClusterParts, ServeParts } from './commands/serve.ts';
import { composeDetector } from './compose-detection.ts';
import type { Config } from './config/schema.ts';
import { createPreflight } from './kubernetes/dns-preflight.ts';
import type { ClusterFacts } from './policy/model.ts';
import { MODE_LABEL } from './policy/scope.ts';
import { parseResolvConf } from './resolv-conf/kubelet.ts';
import { clusterFromOwnFile } from './resolv-conf/own-file.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { CertificateError, fileCertificates } from './tls/file-certificates.ts';

/** How often the cluster DNS is asked over TCP, and how long its answer may take. */
const PREFLIGHT = { everyMs: 60_000, timeoutMs: 2000 } as const;

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

const io: Io = {
  environment: process.env,
  stdinIsTerminal: process.stdin.isTTY,
  stdoutIsTerminal: process.stdout.isTTY,
  stderrIsTerminal: process.stderr.isTTY,
  columns: process.stdout.columns || 80,
  readStdin: () => text(process.stdin),
  readFile: (path) => readFile(path, 'utf8'),
  listFolder: async (path) => {
    const found = await stat(path).catch(() => undefined);
    return found?.isDirectory() ? readdir(path) : undefined;
  },
  out: (chunk) => void process.stdout.write(chunk),
  err: (chunk) => void process.stderr.write(chunk),
};

const inCluster = process.env['KUBERNETES_SERVICE_HOST'] !== undefined;

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function ephemeral(log: Log): Promise<CertificateSource> {
  const names = [
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ] as const;
  // Loaded only here: servers with a certificate start faster without it.
  const { ephemeralPair } = await import('./tls/ephemeral.ts');
  const { ca, ...pair } = await ephemeralPair({ names, now: Date.now(), days: 365 });
  log.warn({ caBundle: Buffer.from(ca).toString('base64') }, 'serving a certificate made for this run only');
  return { current: () => pair, onChange: () => {}, close: () => {} };
}

function files({ tls }: Config, log: Log, metrics: Metrics): CertificateSource {
  const onError = (error: CertificateError): void => {
    metrics.certificateFailed();
    log.error({ err: error }, 'the new certificate cannot be used; the old one stays');
  };
  try {
    return fileCertificates({ certFile: tls.certFile, keyFile: tls.keyFile, onError });
  } catch (error) {
    if (error instanceof CertificateError) throw new CommandError('failed', error.message, { cause: error });
    throw error;
  }
}

async function openCertificates(config: Config, log: Log, metrics: Metrics): Promise<CertificateSource> {
  if (config.tls.mode === 'self-managed') {
    throw new CommandError(
      'usage',
      'tls.mode self-managed is not in this version: use files (cert-manager) or ephemeral',
    );
  }
  const source = config.tls.mode === 'files' ? files(config, log, metrics) : await ephemeral(log);
  const note = ({ cert }: CertificatePair): void => {
    const { validToDate, fingerprint256 } = new X509Certificate(cert);
    metrics.certificate(validToDate);
    log.info({ expires: validToDate.toISOString(), sha256: fingerprint256 }, 'certificate in use');
  };
  note(source.current());
  source.onChange(note);
  return source;
}

/** The configured facts; in a cluster, what our own resolv.conf tells stands in for what is not configured. */
function clusterFacts(config: Config, log: Log): ClusterFacts {
  const { facts, assumed } = configuredFacts(config);
  const ownNamespace = readIfThere(NAMESPACE_FILE)?.trim();
  if (!inCluster || ownNamespace === undefined) {
    if (assumed.length > 0) log.warn(`taken for granted: ${assumed.join(', ')}`);
    return facts;
  }
  const seen = clusterFromOwnFile(parseResolvConf(readIfThere('/etc/resolv.conf') ?? ''), ownNamespace);
  const { dns, domain, nodeSearches } = config.cluster;
  const known = {
    ...facts,
    ownNamespace,
    ...(dns === 'auto' && seen !== undefined && { dns: seen.dns }),
    ...(domain === 'auto' && seen !== undefined && { domain: seen.domain }),
    ...(nodeSearches === 'auto' && seen !== undefined && { nodeSearches: seen.nodeSearches }),
  };
  const source = seen === undefined ? 'configuration and built-in values' : 'own resolv.conf';
  log.info({ dns: known.dns, domain: known.domain, nodeSearches: known.nodeSearches, source }, 'cluster DNS');
  return known;
}

const openCluster: ServeParts['openCluster'] = async (config, flags, log, metrics): Promise<ClusterParts> => {
  const facts = clusterFacts(config, log);
  const preflight = createPreflight({
    servers: () => facts.dns.map((address) => ({ address, timeoutMs: PREFLIGHT.timeoutMs })),
    name: `kubernetes.default.svc.${facts.domain}`,
    everyMs: PREFLIGHT.everyMs,
    onChange: (answered) => {
      metrics.dnsOverTcp(answered);
      log.info({ servers: facts.dns, answered }, 'cluster DNS over TCP: use-vc is given only where it answers');
    },
  });
  const labels = flags.namespaceMode === undefined ? {} : { [MODE_LABEL]: flags.namespaceMode };
  // Not awaited: until the first answer, Pods get the options without use-vc.
  if (config.glibc.tcpPreflight) void preflight.look();
  return {
    facts: () => ({ ...facts, dnsOverTcp: preflight.answered }),
    namespaces: { get: (name) => ({ name, labels }) },
    close: () => preflight.close(),
  };
};

function untilStopped(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        // A second signal ends the process at once.
        process.once(signal, () => process.exit(1));
        resolve(signal);
      });
    }
  });
}

// `libc-dns inject | head` closes the pipe: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), {
  io,
  version: packageJson.version,
  inCluster,
  openCluster,
  openCertificates,
  openDetector: (config, { images, hooks }) =>
    composeDetector(config, {
      version: packageJson.version,
      environment: process.env,
      warn: (message) => io.err(`libc-dns: warning: ${message}\n`),
      ...(images && { person: { images } }),
      ...(hooks && { hooks }),
    }),
  untilStopped,
});
