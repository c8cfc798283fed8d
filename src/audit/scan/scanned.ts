import type { ScannedNode } from '../../exposure/kernels.ts';
import type { KubeProxy } from '../../exposure/kube-proxy.ts';
import type { ScannedPolicy } from '../../exposure/network-policies.ts';
import type { DnsConfig } from '../../policy/model.ts';
import type { Gap } from '../report/report.ts';

/** What is read of a cluster, or of manifests, as far as the audit needs it. */
export interface Scanned {
  /** Sorted by owner, then by what differs. */
  readonly groups: readonly PodGroup[];
  /** The value of our label on each namespace, by name; absent: it has none. */
  readonly namespaces: ReadonlyMap<string, string | undefined>;
  readonly nodes: readonly ScannedNode[];
  readonly networkPolicies: readonly ScannedPolicy[];
  readonly kubeProxy: KubeProxy;
  /** Whether the cluster DNS Service has a port for DNS over TCP; undefined: not read. */
  readonly dnsTcpPort: boolean | undefined;
  readonly gaps: readonly Gap[];
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

/** Pods of one workload that are alike in all that a decision reads. */
export interface PodGroup {
  readonly owner: Owner;
  /** The Pod, or Pod template, without what no decision reads. */
  readonly pod: unknown;
  /** What the workload's template says of DNS; undefined: not known. */
  readonly template: DnsSettings | undefined;
  readonly pods: number;
  /** The first five, sorted. */
  readonly podNames: readonly string[];
  /** Pods by node; empty where they are not scheduled. */
  readonly nodes: ReadonlyMap<string, number>;
}
