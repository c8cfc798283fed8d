import {
  ASSUMED_OUTSIDE,
  type AuditCluster,
  type AuditDetector,
  type AuditFacts,
  type ScanRequest,
} from '../audit/cluster.ts';
import { type ClusterSection, type Gap, sourcedText } from '../audit/report/report.ts';
import { scanCluster, scanFailure, scanSurroundings } from '../audit/scan/cluster.ts';
import { findInstallation } from '../audit/scan/installation.ts';
import { createVerdictReader } from '../audit/scan/verdicts.ts';
import type { KnownFacts } from '../cluster/dns-discovery.ts';
import { createClusterFacts } from '../cluster/dns-facts.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { isKubeError, KubeError } from '../kubernetes/errors.ts';
import type { PolicyConfig } from '../policy/model.ts';
import { nodeLocalUsable } from '../policy/redirect.ts';
import { canonicalName } from '../registry/reference.ts';
import type { ClusterFlags } from '../terminal/flags.ts';
import { CommandError } from '../terminal/io.ts';
import { openPullSecrets } from './cluster.ts';
import { openDetector } from './detection.ts';
import { joinAsPerson, personalReporter, type PersonsCluster, type Surroundings } from './join.ts';

interface AuditSurroundings extends Surroundings {
  /** Prints warnings that are not part of the report; they hold no secret. */
  readonly warn: (message: string) => void;
}

/** Milliseconds for the first look at the cluster's DNS. */
const FIRST_LOOK_MS = 15_000;

/** Joins the cluster that a person audits. Rejects with `CommandError` if there is none. */
export async function openAudit(flags: ClusterFlags, surroundings: AuditSurroundings): Promise<AuditCluster> {
  const cluster = await joinAsPerson(flags, surroundings, personalReporter(surroundings.warn).log);
  const { client } = cluster;
  return {
    server: client.server,
    namespace: cluster.own.namespace,
    ping: (signal) => asCommandError(ping(client, signal)),
    async installation(signal) {
      const gaps: Gap[] = [];
      return { ...(await asCommandError(findInstallation(client, signal, gaps))), gaps };
    },
    facts: (config) => factsOf(cluster, config),
    surroundings: (request: ScanRequest) => asCommandError(scanSurroundings({ ...request, client })),
    scan: (request: ScanRequest) => asCommandError(scanCluster({ ...request, client })),
    openDetector: (config) => detectorOf(cluster, config, surroundings),
    close: () => client.close(),
  };
}

/** Asks for the version, which is public by default; a server that refuses to tell has answered, too. */
async function ping(client: PersonsCluster['client'], signal: AbortSignal): Promise<void> {
  try {
    await client.request({ path: '/version', signal });
  } catch (error) {
    if (!isKubeError(error, 'forbidden')) throw error;
  }
}

/** Turns a `KubeError` into a `CommandError`. Any other error is a defect of ours, or the abort of the person. */
async function asCommandError<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof KubeError) throw new CommandError('failed', scanFailure(error), { cause: error });
    throw error;
  }
}

function sectionOf({ facts, sources, nodeLocalDetail: detail }: KnownFacts): AuditFacts['section'] {
  return {
    dns: sourcedText(facts.dns, sources.dns),
    domain: sourcedText(facts.domain, sources.domain),
    nodeSearches: sourcedText(facts.nodeSearches, sources.nodeSearches),
    nodeLocal: { state: facts.nodeLocal, source: sources.nodeLocal, detail },
  };
}

/**
 * Marks domain and searches as known, for the webhook inside the cluster will know them, and returns a gap if they were
 * assumed here and a redirect may write them.
 */
function asWebhookSees(known: KnownFacts, policy: PolicyConfig, inside: boolean): { known: KnownFacts; gaps: Gap[] } {
  if (inside || known.facts.searchesAssumed !== true) return { known, gaps: [] };
  const facts = { ...known.facts, searchesAssumed: false };
  return { known: { ...known, facts }, gaps: nodeLocalUsable(facts, policy) ? [ASSUMED_OUTSIDE] : [] };
}

async function factsOf({ client, own, inside }: PersonsCluster, config: Config): Promise<AuditFacts> {
  const policy = policyConfig(config);
  const gaps: Gap[] = [];
  // From outside, the cluster's addresses lead elsewhere, or nowhere.
  const asksOverTcp = inside && policy.glibc.tcpPreflight;
  const source = createClusterFacts({
    client,
    config,
    policy: { ...policy, glibc: { ...policy.glibc, tcpPreflight: asksOverTcp } },
    own: inside ? own : {},
    times: { readyMs: FIRST_LOOK_MS },
  });
  try {
    await source.ready;
    for (const { object, verb, error } of source.unread()) {
      gaps.push({
        what: object,
        message: error.message,
        grant: `${verb} ${object}`,
      });
    }
    const { known, gaps: assumed } = asWebhookSees(source.current, policy, inside);
    const answered: ClusterSection['dnsOverTcp'] = known.facts.dnsOverTcp ? 'answered' : 'no answer';
    const dnsOverTcp = asksOverTcp ? answered : 'not asked';
    return { facts: known.facts, section: sectionOf(known), dnsOverTcp, gaps: [...gaps, ...assumed] };
  } finally {
    await source.close();
  }
}

async function detectorOf(
  { client }: PersonsCluster,
  config: Config,
  surroundings: AuditSurroundings,
): Promise<AuditDetector> {
  const { version, environment } = surroundings;
  const reporter = personalReporter(surroundings.warn);
  const reader = createVerdictReader({ client, canonical: canonicalName, most: config.detection.cache.entries });
  const detection = await openDetector(config, {
    version,
    environment,
    reporter,
    person: { images: [] },
    firstLooksOnly: true,
    store: reader,
  });
  const gap = await reader.ready;
  const secrets = openPullSecrets(config, client, reporter);
  return {
    ...detection,
    ...(secrets !== undefined && { credentials: secrets.loginsOf }),
    gaps: gap === undefined ? [] : [gap],
    close: async () => {
      secrets?.close();
      await detection.close();
      await reader.close();
    },
  };
}
