import { backendsWithoutCluster, targetsFor } from '../cluster/reach/reach.ts';
import { dnsReach, namedNamespace } from '../exposure/dns-target.ts';
import { labelsOf } from '../exposure/policies/match.ts';
import { egressTo } from '../exposure/network-policies.ts';
import type { ClusterFacts, Permit, PolicyConfig, Reach } from '../policy/model.ts';
import type { Scanned } from './scan/scanned.ts';

/** What network policies let Pods reach, DNS over UDP included. */
export interface PodReach extends Reach {
  readonly dnsUdp: Permit;
}

/** Evaluates the policies that were read. Assumes a cluster DNS as most clusters have it if it was not read. */
export function podReach(
  { networkPolicies, behindDns }: Pick<Scanned, 'networkPolicies' | 'behindDns'>,
  facts: ClusterFacts,
  config: PolicyConfig,
): (namespace: string, labels: unknown) => PodReach {
  const targets = targetsFor(facts, config, behindDns ?? backendsWithoutCluster(facts, config), networkPolicies.cilium);
  return (namespace, labels) => {
    const policies = networkPolicies.of(namespace);
    const pod = { namespace, namespaceLabels: namedNamespace(namespace), labels: labelsOf(labels) };
    return { ...dnsReach(policies, pod, targets), dnsUdp: egressTo(policies, pod, targets.dns, 'UDP').permit };
  };
}
