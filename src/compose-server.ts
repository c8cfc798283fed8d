import { readFileSync } from 'node:fs';

import { configuredFacts } from './commands/configured-facts.ts';
import type { ServerContext, ServerParts } from './commands/serve.ts';
import { composeCertificates } from './compose-certificates.ts';
import { composeDetector } from './compose-detection.ts';
import { createPreflight } from './kubernetes/dns-preflight.ts';
import type { DetectorHooks } from './libc/detector-hooks.ts';
import { parsePlatform } from './libc/platform.ts';
import type { ClusterFacts } from './policy/model.ts';
import { MODE_LABEL } from './policy/scope.ts';
import { parseResolvConf } from './resolv-conf/kubelet.ts';
import { clusterFromOwnFile } from './resolv-conf/own-file.ts';

/** How often the cluster DNS is asked over TCP, and how long its answer may take. */
const PREFLIGHT = { everyMs: 60_000, timeoutMs: 2000 } as const;

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** What the process itself brings. */
export interface Surroundings {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly inCluster: boolean;
}

function detectionHooks({ metrics, log }: ServerContext): DetectorHooks {
  return {
    onDetection: ({ from, failure }) => metrics.detected(from, failure ?? 'none'),
    onLookup: ({ failure, durationMs, bytes }) => metrics.lookedUp(failure ?? 'none', durationMs / 1000, bytes),
    onError: (error) => log.error({ err: error }, 'a look-up failed in an unexpected way'),
  };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The configured facts; in a cluster, what our own resolv.conf tells stands in for what is not configured. */
function clusterFacts({ config, log }: ServerContext, inCluster: boolean): ClusterFacts {
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

/** Puts the server of `libc-dns serve` together. Rejects with `CommandError` where the configuration cannot be carried out. */
export async function composeServer(context: ServerContext, around: Surroundings): Promise<ServerParts> {
  const { config, flags, log, metrics } = context;
  const certificates = await composeCertificates(context);
  const facts = clusterFacts(context, around.inCluster);
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
  const warn = (message: string): void => log.warn(message);
  const { detector, close } = await composeDetector(config, { ...around, warn, hooks: detectionHooks(context) });
  const platform = parsePlatform(config.detection.platform);
  return {
    facts: () => ({ ...facts, dnsOverTcp: preflight.answered }),
    namespaces: { get: (name) => ({ name, labels }) },
    certificates,
    verdicts: { platform, ...(detector !== undefined && { detector }) },
    notReady: () => undefined,
    close: async () => {
      preflight.close();
      certificates.close();
      await close();
    },
  };
}
