import type { AuditCluster } from '../../src/audit/cluster.ts';
import { createPodGroups } from '../../src/audit/scan/pod-groups.ts';
import type { Surroundings } from '../../src/audit/scan/scanned.ts';
import { createPolicySet } from '../../src/exposure/policies/kinds.ts';
import { byName } from './audit-report.ts';
import { facts } from './policy.ts';

/** Returns a cluster with one exposed Deployment of each name. Images are named after their resolvers. */
export function fakeCluster(
  workloads: readonly { readonly name: string; readonly namespace?: string; readonly image: string }[],
  change: Partial<AuditCluster> = {},
): AuditCluster {
  const groups = createPodGroups();
  for (const { name, namespace = 'shop', image } of workloads) {
    const pod = { metadata: { name: `${name}-1` }, spec: { nodeName: 'old', containers: [{ name: 'main', image }] } };
    groups.add({ kind: 'Deployment', namespace, name }, pod, undefined);
  }
  const surroundings: Surroundings = {
    namespaces: new Map(),
    nodes: [{ name: 'old', os: 'linux', kernel: '4.14.90', osImage: 'Old' }],
    networkPolicies: createPolicySet(),
    behindDns: undefined,
    kubeProxy: { mode: 'iptables', source: 'test', detail: 'test' },
    nfqueueUsers: [],
    dnsTcpPort: true,
    gaps: [],
  };
  const nothing = { value: '', source: 'built-in' };
  return {
    server: 'https://10.0.0.1:6443',
    namespace: undefined,
    ping: async () => {},
    installation: async () => ({ registered: false, namespace: undefined, configuration: undefined, gaps: [] }),
    facts: async () => ({
      facts: { ...facts, nodeLocal: 'absent' },
      section: {
        dns: { value: '10.96.0.10', source: 'service kube-system/kube-dns' },
        domain: nothing,
        nodeSearches: nothing,
        nodeLocal: { state: 'absent', source: 'test', detail: 'there is no such DaemonSet' },
      },
      dnsOverTcp: 'answered',
      gaps: [],
    }),
    surroundings: async () => surroundings,
    scan: async () => ({ ...surroundings, groups: groups.all() }),
    openDetector: async () => ({ detector: byName, gaps: [], close: async () => {} }),
    close: async () => {},
    ...change,
  };
}
