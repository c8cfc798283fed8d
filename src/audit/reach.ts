import { createPodPolicies, UNKNOWN_REACH } from '../cluster/reach/reach.ts';
import { dnsReach } from '../exposure/dns-target.ts';
import { egressTo } from '../exposure/network-policies.ts';
import { templateLabelsOf } from '../exposure/policies/match.ts';
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

/** Evaluates the policies that were read, as the webhook does, for the Pods of a group, which share a template. */
export function podReach({
  scanned: { networkPolicies, behindDns },
  facts,
  config,
  service,
}: ReachOptions): (namespace: string, labels: unknown) => PodReach {
  const policiesFor = createPodPolicies({
    policies: networkPolicies,
    facts: () => facts,
    behind: () => behindDns,
    config,
    service,
    readLabels: templateLabelsOf,
  });
  return (namespace, labels) => {
    const found = policiesFor(namespace, labels);
    if (found === undefined) return { ...UNKNOWN_REACH, dnsUdp: 'uncertain' };
    const { policies, pod } = found;
    const targets = found.targets();
    return { ...dnsReach(policies, pod, targets), dnsUdp: egressTo(policies, pod, targets.dns, 'UDP').permit };
  };
}
