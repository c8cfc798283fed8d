import type { KnownPolicies } from '../cluster/reach/policy-index.ts';
import { backendsWithoutCluster, createReach, type ReachOf } from '../cluster/reach/reach.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { DnsBackends } from '../exposure/dns-target.ts';
import { createPolicySet, readPolicy } from '../exposure/policies/kinds.ts';
import { templateLabelsOf } from '../exposure/policies/match.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { objectsIn } from './objects.ts';

/** Policies of manifests, and of the cluster if one is read. */
export interface ManifestPolicies extends KnownPolicies {
  /** The namespaces of the manifests' policies about egress; an empty name if any are cluster-wide. */
  readonly namespaces: readonly string[];
}

/**
 * Reads the network policies among documents, beside those of a cluster. `namespace` is the default for a policy without one. Without a
 * cluster any plug-in may enforce them, so blocks of addresses are uncertain as with Cilium.
 */
export function policiesIn(
  documents: readonly { readonly value: unknown }[],
  namespace: string,
  cluster?: KnownPolicies,
): ManifestPolicies {
  const set = createPolicySet({ cilium: cluster === undefined || cluster.cilium });
  for (const { object } of documents.flatMap(({ value }) => objectsIn(value))) {
    const read = readPolicy(object, namespace);
    if (read !== undefined) set.add(read);
  }
  const of = (name: string): ReturnType<KnownPolicies['of']> => {
    const known = cluster?.of(name) ?? [];
    return typeof known === 'string' ? known : [...known, ...set.of(name)];
  };
  return { of, cilium: set.cilium, namespaces: set.namespaces };
}

interface ManifestReach {
  readonly pods: ReachOf;
  readonly templates: ReachOf;
}

/**
 * Evaluates policies for the Pods of manifests. Without a cluster assumes a cluster DNS as most clusters have it. Returns undefined if the
 * configuration ignores policies.
 */
export function manifestReach(
  policies: KnownPolicies,
  config: Config,
  facts: ClusterFacts,
  cluster: { readonly behindDns: DnsBackends | undefined } | undefined,
): ManifestReach | undefined {
  if (!config.networkPolicies) return undefined;
  const policy = policyConfig(config);
  const assumed = backendsWithoutCluster(facts, policy, config.cluster.service);
  const behind = cluster === undefined ? assumed : cluster.behindDns;
  const options = {
    policies,
    facts: () => facts,
    behind: () => behind,
    config: policy,
    service: assumed.service,
  };
  return { pods: createReach(options), templates: createReach({ ...options, readLabels: templateLabelsOf }) };
}
