import { backendsWithoutCluster, createReach, type ReachOf } from '../cluster/reach/reach.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { createPolicySet, type PolicySet, readPolicy } from '../exposure/policies/kinds.ts';
import { templateLabelsOf } from '../exposure/policies/match.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { objectsIn } from './objects.ts';

/**
 * Reads the network policies among the documents. `namespace` is the default for a policy without one. Any plug-in may enforce them, so
 * blocks of addresses are uncertain as with Cilium.
 */
export function policiesIn(documents: readonly { readonly value: unknown }[], namespace: string): PolicySet {
  const set = createPolicySet({ cilium: true });
  for (const { object } of documents.flatMap(({ value }) => objectsIn(value))) {
    const read = readPolicy(object, namespace);
    if (read !== undefined) set.add(read);
  }
  return set;
}

interface ManifestReach {
  readonly pods: ReachOf;
  readonly templates: ReachOf;
}

/**
 * Evaluates the policies of manifests, assuming a cluster DNS as most clusters have it. Returns undefined if the configuration ignores
 * policies.
 */
export function manifestReach(policies: PolicySet, config: Config, facts: ClusterFacts): ManifestReach | undefined {
  if (!config.networkPolicies) return undefined;
  const policy = policyConfig(config);
  const behind = backendsWithoutCluster(facts, policy, config.cluster.service);
  const options = {
    policies,
    facts: () => facts,
    behind: () => behind,
    config: policy,
    service: behind.service,
  };
  return { pods: createReach(options), templates: createReach({ ...options, readLabels: templateLabelsOf }) };
}
