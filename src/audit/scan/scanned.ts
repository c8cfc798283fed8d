import type { DnsConfig, Mode } from '../../policy/model.ts';
import type { Gap, KubeProxy } from '../report/report.ts';

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

export interface ScannedNode {
  readonly name: string;
  /** `linux` or `windows`. */
  readonly os: string;
  readonly kernel: string;
  readonly osImage: string;
}

/** networking.k8s.io/v1 NetworkPolicy, as the API has it: its reader checks it. */
export interface ScannedPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
}

/** Where Pods of a namespace stand, without labels of their own. */
interface NamespaceMode {
  readonly mode: Mode;
  readonly label: string | undefined;
}
