import type { Config } from '../config/schema.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { BUILT_IN } from '../resolv-conf/kubelet.ts';

/** The cluster's facts as far as the configuration has them, and the built-in values for the rest. */
export function configuredFacts(config: Config): { readonly facts: ClusterFacts; readonly assumed: readonly string[] } {
  const { dns, domain, nodeSearches } = config.cluster;
  const assumed = [
    ...(dns === 'auto' ? [`cluster DNS ${BUILT_IN.dns.join(' ')} (--cluster-dns)`] : []),
    ...(domain === 'auto' ? [`cluster domain ${BUILT_IN.domain} (--cluster-domain)`] : []),
    ...(nodeSearches === 'auto' ? ['no search domains on the nodes (--node-searches)'] : []),
  ];
  const facts: ClusterFacts = {
    dns: dns === 'auto' ? BUILT_IN.dns : dns,
    domain: domain === 'auto' ? BUILT_IN.domain : domain,
    nodeSearches: nodeSearches === 'auto' ? [] : nodeSearches,
    dnsOverTcp: false,
    nodeLocal: 'unknown',
  };
  return { facts, assumed };
}
