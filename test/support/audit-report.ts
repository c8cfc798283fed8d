import { decideGroups } from '../../src/audit/decide.ts';
import { lookUpImages } from '../../src/audit/look-ups.ts';
import { buildReport } from '../../src/audit/report/build-report.ts';
import type { AuditReport, ClusterSection } from '../../src/audit/report/report.ts';
import { createPodGroups } from '../../src/audit/scan/pod-groups.ts';
import type { DnsSettings, Owner, Scanned } from '../../src/audit/scan/scanned.ts';
import type { Detector } from '../../src/detection/detector.ts';
import { UNREAD } from '../../src/exposure/exposure.ts';
import { assumedBackends } from '../../src/exposure/dns-target.ts';
import { createPolicySet } from '../../src/exposure/policies/kinds.ts';
import type { ClusterFacts, NamespaceView, PolicyConfig } from '../../src/policy/model.ts';
import { type Resolver, unknownVerdict } from '../../src/policy/verdict.ts';
import { facts, policy } from './policy.ts';
import { amd64 } from './registry-harness.ts';

/** Detects by name: images are named after their resolvers (`musl`, `glibc:1`). Any other image cannot be read. */
export const byName: Detector = {
  detect: async ({ reference, platform }) => {
    const [resolver = ''] = reference.split(/[:/@]/, 1);
    const meter = { requests: 0, bytes: 0 };
    if (!['glibc', 'musl', 'go', 'other'].includes(resolver)) {
      const failure = { code: 'unauthorized', message: `${reference}: the registry wants a login` } as const;
      return { verdict: unknownVerdict(failure.message), from: 'none', failure, meter };
    }
    const libc = resolver === 'go' ? 'none' : (resolver as Exclude<Resolver, 'go'>);
    const evidence = { source: 'executable', detail: `/app: ${resolver}`, confidence: 0.99 } as const;
    return {
      verdict: { resolver: resolver as Resolver, libc, evidence },
      digest: `sha256:${'0'.repeat(64)}`,
      platform,
      executable: '/app',
      from: 'registry',
      meter,
    };
  },
};

export interface AuditedPod {
  readonly owner?: Partial<Owner>;
  readonly pod: unknown;
  readonly template?: DnsSettings;
}

const CLUSTER: ClusterSection = {
  dns: { value: '10.96.0.10', source: 'service kube-system/kube-dns' },
  domain: { value: 'cluster.local', source: 'built-in' },
  nodeSearches: { value: '', source: 'built-in' },
  dnsOverTcp: 'answered',
  nodeLocal: { state: 'absent', source: 'daemonset kube-system/node-local-dns', detail: 'there is no such DaemonSet' },
  kubeProxy: { mode: 'iptables', source: 'configmap kube-system/kube-proxy', detail: 'config.conf says so' },
  exposure: { setting: 'always', ...UNREAD },
};

const NOTHING: Scanned = {
  groups: [],
  namespaces: new Map(),
  nodes: [],
  networkPolicies: createPolicySet(),
  behindDns: assumedBackends(facts.dns),
  kubeProxy: CLUSTER.kubeProxy,
  nfqueueUsers: [],
  dnsTcpPort: true,
  gaps: [],
};

export interface World {
  readonly facts?: Partial<ClusterFacts>;
  readonly config?: PolicyConfig;
  /** Whether the webhook looks at network policies. Default: it does. */
  readonly respected?: boolean;
  readonly scanned?: Partial<Scanned>;
  readonly cluster?: Partial<ClusterSection>;
  readonly viewOf?: (name: string) => NamespaceView;
  readonly kind?: 'cluster' | 'manifests';
  /** Default: it is. null: not known. */
  readonly installed?: boolean | null;
  readonly podResolvers?: ReadonlyMap<string, number>;
  /** Whether images are looked up. Default: they are. */
  readonly detecting?: boolean;
}

/** Builds the report on Pods with the program's own parts. */
export async function auditOf(pods: readonly AuditedPod[], world: World = {}): Promise<AuditReport> {
  const known = { ...facts, nodeLocal: 'absent' as const, ...world.facts };
  const groups = createPodGroups();
  for (const { owner, pod, template } of pods) {
    groups.add({ kind: 'Deployment', namespace: 'shop', name: 'storefront', ...owner }, pod, template);
  }
  const scanned = { ...NOTHING, ...world.scanned, groups: groups.all() };
  const config = world.config ?? policy();
  const viewOf = world.viewOf ?? ((name: string) => ({ name, labels: {} }));
  const signal = new AbortController().signal;
  const { detecting = true, installed = true } = world;
  const asking = {
    detector: detecting ? byName : undefined,
    platform: amd64,
    credentials: undefined,
    signal,
    onProgress: () => {},
  };
  const lookups = await lookUpImages(scanned.groups, asking);
  const respected = world.respected ?? true;
  const service = 'kube-system/kube-dns';
  const deciding = {
    config,
    service,
    respected,
    facts: known,
    lookups,
    detecting,
    platform: amd64,
    viewOf,
    scanned,
  };
  return buildReport({
    generatedAt: new Date('2026-11-21T00:00:00Z'),
    version: '0.0.0-test',
    source: {
      kind: world.kind ?? 'cluster',
      server: 'https://10.0.0.1:6443',
      namespaces: [],
      files: [],
      configuration: 'built-in defaults',
    },
    scanned,
    decided: await decideGroups(scanned.groups, deciding),
    config,
    respected,
    facts: known,
    cluster: { ...CLUSTER, ...world.cluster },
    viewOf,
    gaps: [],
    installed: installed ?? undefined,
    podResolvers: world.podResolvers,
  });
}
