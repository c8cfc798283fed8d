import type { Resolver } from '../policy/verdict.ts';
import type {
  ExposureCounts,
  Finding,
  ImageEntry,
  KernelEntry,
  NamespaceEntry,
  Severity,
  UnreadableImage,
  WorkloadEntry,
} from './report-entries.ts';

/**
 * What `libc-dns audit` found. `-o json` prints exactly this; the other formats are made of it. Everything is sorted, so
 * that the same cluster gives the same report apart from `generatedAt`. Names, images, annotations and messages are other
 * people's data: whoever shows them has to escape them.
 */
export interface AuditReport {
  readonly apiVersion: 'audit.libc-dns.dev/v1';
  readonly kind: 'AuditReport';
  /** RFC 3339, UTC. The only field that differs between two runs on the same cluster. */
  readonly generatedAt: string;
  /** Of the program. */
  readonly version: string;
  readonly source: AuditSource;
  readonly verdict: NeedVerdict;
  readonly summary: AuditSummary;
  readonly cluster: ClusterSection;
  /** Worst first, then by kernel. Empty where no nodes were read. */
  readonly kernels: readonly KernelEntry[];
  /** By name. */
  readonly namespaces: readonly NamespaceEntry[];
  /** By namespace, kind, name. Pods of one workload that differ in images, DNS settings or decision are entries of their own. */
  readonly workloads: readonly WorkloadEntry[];
  /** By image, platform, executable. */
  readonly images: readonly ImageEntry[];
  /** Most severe first, then by code, namespace, kind, name, container. */
  readonly findings: readonly Finding[];
  /** Images that nobody could read. By image. */
  readonly unreadable: readonly UnreadableImage[];
  /** What of the cluster could not be read, so that parts of this report are missing or guessed. */
  readonly gaps: readonly Gap[];
}

/** Where the Pods come from. */
export interface AuditSource {
  readonly kind: 'cluster' | 'manifests';
  /** The API server's address; empty for manifests. */
  readonly server: string;
  /** Empty: all of them. */
  readonly namespaces: readonly string[];
  /** For manifests: files as they were named. */
  readonly files: readonly string[];
  /** Where the configuration that decisions follow comes from, for example `built-in defaults` or a file's name. */
  readonly configuration: string;
}

/** Does this cluster need the product? Said in plain words. */
export interface NeedVerdict {
  /** `perhaps`: something that decides could not be read. */
  readonly needed: 'yes' | 'no' | 'perhaps';
  /** One sentence. */
  readonly sentence: string;
  /** Why, a sentence each. */
  readonly because: readonly string[];
  /** What the operator should do next, a sentence each, in order. */
  readonly next: readonly string[];
}

export interface AuditSummary {
  /** Running Pods; of manifests: Pods and Pod templates. Everything called `pods` is counted so. */
  readonly pods: number;
  readonly containers: number;
  /** Entries of `workloads`. */
  readonly workloads: number;
  readonly namespaces: number;
  readonly nodes: number;
  /** Different images, by reference. */
  readonly images: number;
  readonly unreadableImages: number;
  /** Pods that would be created differently, were the webhook to enforce; see {@link WorkloadEntry.decision}. */
  readonly podsThatWouldChange: number;
  /** Pods that the webhook has patched, by its annotation. */
  readonly podsPatched: number;
  /** Containers by resolver. */
  readonly resolvers: Readonly<Record<Resolver, number>>;
  /** Pods by what would be done: `options`, `redirect`, `retry`, `options+redirect`, …, and `none`. Sorted by name. */
  readonly remedies: Readonly<Record<string, number>>;
  /** Pods by reason. Sorted by name. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly exposure: ExposureCounts;
  readonly findings: Readonly<Record<Severity, number>>;
}

/** A value with where it comes from: `configuration`, `service kube-system/kube-dns`, `built-in`, … */
export interface SourcedText {
  readonly value: string;
  readonly source: string;
}

export interface ClusterSection {
  /** Addresses, a space between. */
  readonly dns: SourcedText;
  readonly domain: SourcedText;
  /** May be empty. */
  readonly nodeSearches: SourcedText;
  readonly dnsOverTcp: 'answered' | 'not asked' | 'no answer';
  readonly nodeLocal: {
    readonly state: 'ready' | 'unready' | 'intercepting' | 'absent' | 'unknown';
    readonly source: string;
    /** One sentence. */
    readonly detail: string;
  };
  readonly kubeProxy: KubeProxy;
}

/** Who translates the addresses of Services. */
export interface KubeProxy {
  /** `other`: Services are not kube-proxy's, `detail` says whose. */
  readonly mode: 'iptables' | 'ipvs' | 'nftables' | 'other' | 'unknown';
  readonly source: string;
  readonly detail: string;
}

export interface Gap {
  /** What could not be read: `nodes`, `configmap kube-system/kube-proxy`. */
  readonly what: string;
  readonly message: string;
  /** The right to grant, or what else to do. */
  readonly grant: string;
}
