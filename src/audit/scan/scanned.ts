import type { KnownPolicies } from '../../cluster/reach/policy-index.ts';
import type { DnsBackends } from '../../exposure/dns-target.ts';
import type { ScannedNode } from '../../exposure/kernels.ts';
import type { KubeProxy } from '../../exposure/kube-proxy.ts';
import type { DnsConfig, NamespaceView } from '../../policy/model.ts';
import type { Gap } from '../report/report.ts';

/** What decisions need from a cluster or from manifests besides Pods. */
export interface Surroundings {
  /** The labels of each namespace that decisions read. */
  readonly namespaces: ReadonlyMap<string, NamespaceView['labels']>;
  readonly nodes: readonly ScannedNode[];
  readonly networkPolicies: KnownPolicies;
  /** What is behind the DNS Service; undefined: not read, so nothing is known of it. */
  readonly behindDns: DnsBackends | undefined;
  readonly kubeProxy: KubeProxy;
  /** DaemonSets that are known to use NFQUEUE; undefined: not read. */
  readonly nfqueueUsers: readonly string[] | undefined;
  /** Whether the cluster DNS Service has TCP port 53; undefined if it could not be read. */
  readonly dnsTcpPort: boolean | undefined;
  readonly gaps: readonly Gap[];
}

/** What the audit needs from a cluster or from manifests. */
export interface Scanned extends Surroundings {
  /** Sorted by owner, then by content. */
  readonly groups: readonly PodGroup[];
}

/** The workload that Pods belong to. */
export interface Owner {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `dnsPolicy` and `dnsConfig` of a Pod or a Pod template. */
export interface DnsSettings {
  readonly dnsPolicy: string;
  readonly dnsConfig: DnsConfig;
}

/** Pods of one workload that are equal in every field that a decision reads. */
export interface PodGroup {
  readonly owner: Owner;
  /** The Pod or Pod template, reduced to the fields that decisions read. */
  readonly pod: unknown;
  /** The DNS settings of the workload's template; undefined if unknown. */
  readonly template: DnsSettings | undefined;
  readonly pods: number;
  /** The first five by name. */
  readonly podNames: readonly string[];
  /** Number of Pods by node name; empty if they are not scheduled. */
  readonly nodes: ReadonlyMap<string, number>;
}
