import { hostname } from 'node:os';

import type { KnownFacts } from '../cluster/dns-discovery.ts';
import { type ClusterFactsSource, createClusterFacts, factsFields } from '../cluster/dns-facts.ts';
import { createDecisionEvents, type DecisionEvents } from '../cluster/events.ts';
import { type ClusterExposure, createClusterExposure } from '../cluster/exposure.ts';
import { type ClusterNamespaces, createNamespaces } from '../cluster/namespaces.ts';
import { createPullSecrets, type PullSecrets } from '../cluster/pull-secrets.ts';
import { type ClusterReach, createClusterReach } from '../cluster/reach/reach.ts';
import type { ServerContext } from '../commands/serve.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { createImageLibcStore, type ImageLibcStore } from '../image-libc/store.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import type { ClusterFacts, NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { parseDockerConfig, parseLegacyDockerConfig } from '../registry/auth/docker-config.ts';
import { canonicalName } from '../registry/reference.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import { pause } from '../util/abort.ts';
import { systemClock } from '../util/clock.ts';
import { createTokenBucket } from '../util/limits/token-bucket.ts';
import type { Joined } from './join.ts';

/** Milliseconds for which readiness waits for the first lists: without them Pods are answered by single reads. */
const FIRST_COPY_MS = 10_000;

/** Follows the cluster's DNS settings. */
export function followFacts({ config, reporter }: ServerContext, { client, own }: Joined): ClusterFactsSource {
  return createClusterFacts({ config, policy: policyConfig(config), own, ...(client && { client }), reporter });
}

/** Follows whether some node can lose DNS packets. Returns undefined if the configuration does not ask, or there is no cluster. */
export function followExposure({ config, reporter }: ServerContext, { client }: Joined): ClusterExposure | undefined {
  if (config.exposure === 'always' || client === undefined) return undefined;
  return createClusterExposure({ client, clock: systemClock, reporter });
}

/** Returns the settings that were assumed, each with the flag that sets it. */
function assumed({ sources }: KnownFacts): string[] {
  const flags = { dns: '--cluster-dns', domain: '--cluster-domain', nodeSearches: '--node-searches' } as const;
  return Object.entries(flags)
    .filter(([fact]) => sources[fact as keyof typeof flags] === 'built-in')
    .map(([fact, flag]) => `cluster.${fact} (${flag})`);
}

/** The labels of namespaces, as admission and warm-up read them. */
export type FollowedNamespaces = Pick<
  ClusterNamespaces,
  'get' | 'peek' | 'names' | 'ready' | 'settled' | 'onChange' | 'close'
>;

/** Reads the labels of namespaces: from the flag, else from the cluster; without either they have none. */
export function followNamespaces({ flags, reporter }: ServerContext, { client }: Joined): FollowedNamespaces {
  const { namespaceMode } = flags;
  if (namespaceMode === undefined && client !== undefined) {
    return createNamespaces({ client, clock: systemClock, reporter });
  }
  const labels = namespaceMode === undefined ? {} : { [MODE_LABEL]: namespaceMode };
  const get = (name: string): NamespaceView => ({ name, labels });
  const ready = Promise.resolve();
  return { get, peek: get, names: () => [], ready, settled: ready, onChange: () => {}, close: () => ready };
}

/** Follows what network policies let Pods reach; undefined without a cluster, or if the configuration ignores policies. */
export function followReach(
  { config, reporter }: ServerContext,
  { client }: Joined,
  facts: () => ClusterFacts,
): ClusterReach | undefined {
  if (client === undefined || !config.networkPolicies) return undefined;
  const { service } = config.cluster;
  return createClusterReach({ client, clock: systemClock, config: policyConfig(config), service, facts, reporter });
}

/** Opens the store of verdicts in the Kubernetes API; undefined without a cluster, or if the configuration names another store. */
export function openStore({ config, reporter }: ServerContext, { client }: Joined): ImageLibcStore | undefined {
  const { cache } = config.detection;
  if (cache.store !== 'cluster' || client === undefined) return undefined;
  return createImageLibcStore({
    client,
    canonical: canonicalName,
    clock: systemClock,
    most: cache.entries,
    expireMs: cache.unusedAfter,
    reporter,
  });
}

/** Parts whose first read delays readiness. */
interface FirstReads {
  readonly facts: ClusterFactsSource;
  readonly exposure: ClusterExposure | undefined;
  readonly namespaces: FollowedNamespaces;
  readonly reach: ClusterReach | undefined;
  readonly store: ImageLibcStore | undefined;
}

/** Waits for the first reads, for a bounded time, and logs the DNS settings. */
export async function awaitFirstReads(
  { reporter: { log }, signal }: ServerContext,
  { facts, exposure, namespaces, reach, store }: FirstReads,
): Promise<void> {
  const copies = Promise.all([namespaces.settled, exposure?.settled, reach?.ready, store?.ready]);
  const logFacts = async (): Promise<void> => {
    await facts.ready;
    log.info(factsFields(facts.current), 'cluster DNS');
    const names = assumed(facts.current);
    if (names.length > 0) log.warn(`assumed, because nothing tells it: ${names.join(', ')}`);
  };
  await Promise.all([logFacts(), Promise.race([copies, pause(FIRST_COPY_MS, signal)])]);
}

/**
 * Opens the registry logins of Pods: `loginsOf` serves as `credentials` of `PodVerdictsOptions`. Undefined if the
 * configuration does not allow reading Secrets.
 */
export function openPullSecrets(
  { detection }: Config,
  client: Pick<KubeClient, 'request'>,
  { metrics, warnings }: Reporter,
): PullSecrets | undefined {
  const { enabled, pullSecrets } = detection.registry;
  if (!enabled || !pullSecrets) return undefined;
  const warn = warnings();
  return createPullSecrets({
    client,
    readers: { dockerConfig: parseDockerConfig, legacyDockerConfig: parseLegacyDockerConfig },
    clock: systemClock,
    onProblem: ({ message, ...fields }) => {
      metrics.cluster.pullSecretFailed(fields.code);
      warn(message, fields);
    },
  });
}

/**
 * Returns the logins for Pods of admission requests. Undefined unless a client certificate or the configuration vouches for the
 * caller: a review names the namespace, the service account and the Secrets, and anyone who reaches the port may send one.
 */
export function admissionLogins(
  { detection, tls }: Config,
  secrets: PullSecrets | undefined,
): PullSecrets['loginsOf'] | undefined {
  const isTrusted = tls.clientCaFile !== '' || detection.registry.pullSecrets === 'unverified';
  return isTrusted ? secrets?.loginsOf : undefined;
}

/** Warns of pull secrets that are not used for Pods, or used for any caller. */
export function warnOfUnverified({ detection: { registry }, tls, warmUp }: Config, { log }: Reporter): void {
  if (tls.clientCaFile !== '' || registry.pullSecrets === false || !registry.enabled) return;
  if (registry.pullSecrets === 'unverified') {
    log.warn(
      'detection.registry.pullSecrets unverified: anyone who reaches the port can have pull secrets of any namespace used',
    );
    return;
  }
  const who = warmUp.enabled ? 'only for workloads that warm-up sees' : 'for nobody, because warm-up is off too';
  log.warn(
    `detection.registry.pullSecrets true, and callers are not verified: pull secrets are used ${who}. Set tls.clientCaFile, or pullSecrets: unverified (docs/security.md, "Who may call")`,
  );
}

/** Events that each replica may write. The API server keeps Events for an hour. */
const EVENT_PACE = { perSecond: 1, burst: 25 };

/** Opens the Events on the workloads of Pods; undefined without a cluster, or if the configuration turns them off. */
export function openEvents({ config, reporter }: ServerContext, { client }: Joined): DecisionEvents | undefined {
  if (client === undefined || !config.server.events) return undefined;
  const clock = systemClock;
  const pace = createTokenBucket({ ...EVENT_PACE, clock });
  const verified = config.tls.clientCaFile !== '';
  return createDecisionEvents({ client, clock, pace, instance: hostname().slice(0, 128), verified, reporter });
}
