import type { AuditCluster, AuditDetector, AuditFacts, ClusterFlags, ScanRequest } from '../audit/read.ts';
import type { ClusterSection, Gap } from '../audit/report/report.ts';
import { scanCluster, scanFailure } from '../audit/scan/cluster.ts';
import { findInstallation } from '../audit/scan/installation.ts';
import { createVerdictReader } from '../audit/scan/verdicts.ts';
import type { KnownFacts } from '../cluster/dns-discovery.ts';
import { createClusterFacts } from '../cluster/dns-facts.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { KubeError } from '../kubernetes/errors.ts';
import type { PolicyConfig } from '../policy/model.ts';
import { nodeLocalUsable } from '../policy/redirect.ts';
import { CommandError } from '../terminal/io.ts';
import { openPullSecrets } from './cluster.ts';
import { canonicalName } from '../registry/reference.ts';
import { openDetector } from './detection.ts';
import { joinAsPerson, personalReporter, type PersonsCluster, type Surroundings } from './join.ts';

export interface AuditSurroundings extends Surroundings {
  /** For what goes wrong beside the audit; holds no secret. */
  readonly warn: (message: string) => void;
}

/** Milliseconds for the first look at the cluster's DNS. */
const FIRST_LOOK_MS = 15_000;

/** What is not `KubeError` is our own defect, or the person's wish to stop. */
async function orFailure<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof KubeError) throw new CommandError('failed', scanFailure(error), { cause: error });
    throw error;
  }
}

const words = (value: readonly string[] | string, source: string) => ({ value: [value].flat().join(' '), source });

function sectionOf({ facts, sources, nodeLocalDetail: detail }: KnownFacts): AuditFacts['section'] {
  return {
    dns: words(facts.dns, sources.dns),
    domain: words(facts.domain, sources.domain),
    nodeSearches: words(facts.nodeSearches, sources.nodeSearches),
    nodeLocal: { state: facts.nodeLocal, source: sources.nodeLocal, detail },
  };
}

const GUESSED: Gap = {
  what: 'cluster domain and node searches',
  message: 'only a Pod sees them: cluster.local, and no search domains of the nodes, are taken for granted',
  grant: '--cluster-domain and --node-searches (the webhook reads them from its own resolv.conf)',
};

/**
 * From outside a cluster the domain and the searches are guessed; the webhook, in it, will know them. Only a redirect writes
 * them.
 */
function asWebhookSees(known: KnownFacts, policy: PolicyConfig, inside: boolean): { known: KnownFacts; gaps: Gap[] } {
  if (inside || known.facts.searchesAssumed !== true) return { known, gaps: [] };
  const facts = { ...known.facts, searchesAssumed: false };
  return { known: { ...known, facts }, gaps: nodeLocalUsable(facts, policy) ? [GUESSED] : [] };
}

async function factsOf({ client, own, inside }: PersonsCluster, config: Config): Promise<AuditFacts> {
  const policy = policyConfig(config);
  const gaps: Gap[] = [];
  // From outside, the cluster's addresses lead elsewhere, or nowhere.
  const asks = inside && policy.glibc.tcpPreflight;
  const source = createClusterFacts({
    client,
    config,
    policy: { ...policy, glibc: { ...policy.glibc, tcpPreflight: asks } },
    own: inside ? own : {},
    times: { firstMs: FIRST_LOOK_MS },
  });
  try {
    await source.ready;
    for (const { object, error } of source.unread()) {
      gaps.push({ what: object, message: error.message, grant: `get ${object}` });
    }
    const { known, gaps: guessed } = asWebhookSees(source.current, policy, inside);
    const answered: ClusterSection['dnsOverTcp'] = known.facts.dnsOverTcp ? 'answered' : 'no answer';
    const dnsOverTcp = asks ? answered : 'not asked';
    return { facts: known.facts, section: sectionOf(known), dnsOverTcp, gaps: [...gaps, ...guessed] };
  } finally {
    await source.close();
  }
}

async function detectorOf(
  { client }: PersonsCluster,
  config: Config,
  around: AuditSurroundings,
): Promise<AuditDetector> {
  const { version, environment } = around;
  const reporter = personalReporter(around.warn);
  const reader = createVerdictReader({ client, canonical: canonicalName, most: config.detection.cache.entries });
  const detection = await openDetector(config, {
    version,
    environment,
    reporter,
    person: { images: [] },
    store: reader,
  });
  const gap = await reader.ready;
  const secrets = openPullSecrets(config, client, reporter);
  return {
    ...detection,
    ...(secrets !== undefined && { credentials: secrets.of }),
    gaps: gap === undefined ? [] : [gap],
    close: async () => {
      secrets?.close();
      await detection.close();
      await reader.close();
    },
  };
}

/** Joins the cluster that a person audits. Rejects with `CommandError` where there is none. */
export async function openAudit(flags: ClusterFlags, around: AuditSurroundings): Promise<AuditCluster> {
  const cluster = await joinAsPerson(flags, around, personalReporter(around.warn).log);
  const { client } = cluster;
  return {
    server: client.server,
    async installation(signal) {
      const gaps: Gap[] = [];
      return { ...(await orFailure(findInstallation(client, signal, gaps))), gaps };
    },
    facts: (config) => factsOf(cluster, config),
    scan: (request: ScanRequest) => orFailure(scanCluster({ ...request, client })),
    openDetector: (config) => detectorOf(cluster, config, around),
    close: () => client.close(),
  };
}
