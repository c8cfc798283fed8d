import { backendsWithoutCluster, targetsFor } from '../cluster/reach/reach.ts';
import { dnsReach, namedNamespace } from '../exposure/dns-target.ts';
import { templateLabelsOf } from '../exposure/policies/match.ts';
import { egressTo } from '../exposure/network-policies.ts';
import type { ClusterFacts, Permit, PolicyConfig, Reach } from '../policy/model.ts';
import type { Scanned } from './scan/scanned.ts';

/** What network policies let Pods reach, DNS over UDP included. */
export interface PodReach extends Reach {
  readonly dnsUdp: Permit;
}

interface ReachOptions {
  readonly scanned: Pick<Scanned, 'networkPolicies' | 'behindDns'>;
  readonly facts: ClusterFacts;
  readonly config: PolicyConfig;
  /** `namespace/name` of the cluster DNS Service. */
  readonly service: string;
}

/**
 * Evaluates the policies that were read for the Pods of a group, which share a template. Assumes what is usually behind the DNS Service
 * if that was not read.
 */
export function podReach({
  scanned: { networkPolicies, behindDns },
  facts,
  config,
  service,
}: ReachOptions): (namespace: string, labels: unknown) => PodReach {
  const behind = behindDns ?? backendsWithoutCluster(facts, config, service);
  const targets = targetsFor(facts, config, behind, networkPolicies.cilium);
  return (namespace, labels) => {
    const policies = networkPolicies.of(namespace);
    const pod = { namespace, namespaceLabels: namedNamespace(namespace), labels: templateLabelsOf(labels) };
    return { ...dnsReach(policies, pod, targets), dnsUdp: egressTo(policies, pod, targets.dns, 'UDP').permit };
  };
}
