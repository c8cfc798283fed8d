import type { KernelEntry } from '../../exposure/kernels.ts';
import type { KubeProxy } from '../../exposure/kube-proxy.ts';
import type { DnsChange, Mode, Remedy, ResolvConf } from '../../policy/model.ts';
import type { Reason } from '../../policy/reasons.ts';
import type { Evidence, Libc, Resolver } from '../../policy/verdict.ts';

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

export interface Gap {
  /** What could not be read: `nodes`, `configmap kube-system/kube-proxy`. */
  readonly what: string;
  readonly message: string;
  /** The right to grant, or what else to do. */
  readonly grant: string;
}

/**
 * Whether the fault can hit a Pod as it is today. `yes`: it asks twice at once from one socket, through a translated address, on a
 * node whose kernel lacks a fix. `possible`: one of these is not known. `mitigated`: the same as yes or possible, but a lost
 * packet is sent again within a second. `no`: one of these is not so.
 */
export type ExposureLevel = 'yes' | 'possible' | 'mitigated' | 'no';

export interface WorkloadExposure {
  readonly level: ExposureLevel;
  /** One sentence. */
  readonly detail: string;
}

/** Pods with each level; see {@link WorkloadExposure}. */
export type ExposureCounts = Readonly<Record<ExposureLevel, number>>;

export interface NamespaceEntry {
  readonly name: string;
  /** The mode of a Pod without a label of its own, today. */
  readonly mode: Mode;
  /** Why the mode is off; null where it is not. */
  readonly reason: Reason | null;
  readonly workloads: number;
  readonly pods: number;
  readonly podsThatWouldChange: number;
  /** Containers by resolver. */
  readonly resolvers: Readonly<Record<Resolver, number>>;
  readonly exposure: ExposureCounts;
  readonly findings: Readonly<Record<Severity, number>>;
}

export interface ContainerEntry {
  readonly name: string;
  readonly image: string;
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly evidence: Evidence;
}

export interface WorkloadEntry {
  /** Of the topmost known owner: Deployment, not ReplicaSet; CronJob, not Job; Pod where nothing owns it. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly pods: number;
  /** The first five by name; empty for manifests. */
  readonly podNames: readonly string[];
  /** Different nodes that they run on. */
  readonly nodes: number;
  /** The effective mode today. */
  readonly mode: Mode;
  /** Why the mode is off; null where it is not. */
  readonly modeReason: Reason | null;
  /** Init containers first. */
  readonly containers: readonly ContainerEntry[];
  /**
   * What enforcing would do to the next Pod like this one. Where nothing but a missing opt-in keeps the mode off, it is decided
   * as if the namespace had opted in.
   */
  readonly decision: {
    readonly reason: Reason;
    readonly message: string;
    /** Empty: nothing. */
    readonly remedy: readonly Remedy[];
    /** null: nothing would change. */
    readonly change: DnsChange | null;
  };
  /** What the webhook did when it admitted the Pods, by its annotation; null: it did nothing. */
  readonly applied: { readonly reason: string; readonly remedy: readonly string[] } | null;
  /** The file as the kubelet writes it today, and as it would be. */
  readonly resolvConf: { readonly before: ResolvConf; readonly after: ResolvConf };
  readonly exposure: WorkloadExposure;
  /** Codes of its findings, sorted. */
  readonly findings: readonly FindingCode[];
}

export interface ImageEntry {
  /** As the Pods name it. */
  readonly image: string;
  /** `linux/amd64`. */
  readonly platform: string;
  /** Of the platform's manifest; null where it is not known. */
  readonly digest: string | null;
  /** The program that the verdict is about; null where it is not known. */
  readonly executable: string | null;
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly evidence: Evidence;
  readonly containers: number;
  readonly pods: number;
  /** Entries of `workloads`. */
  readonly workloads: number;
  /** Sorted. */
  readonly namespaces: readonly string[];
  /** Why it could not be read; null where it could. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

export type Severity = 'error' | 'warning' | 'info';

/** docs/audit.md lists them. */
export type FindingCode =
  | 'MuslShortTimeout'
  | 'AttemptsZero'
  | 'TimeoutZero'
  | 'MuslNdotsLowered'
  | 'MuslSearchTooLong'
  | 'UseVcWithoutTcp'
  | 'TcpBlockedByPolicy'
  | 'DeadNameserverFirst'
  | 'NodeLocalAppended'
  | 'NodeLocalAlone'
  | 'OptionsIgnoredByMusl'
  | 'SearchesMissing'
  | 'TooManyNameservers'
  | 'InjectedByOthers'
  | 'UnknownNowDecided'
  | 'StaleDecision'
  | 'PatchUndone'
  | 'InvalidAnnotation';

/** Something that is wrong with Pods as they run today. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly where: {
    readonly namespace: string;
    readonly kind: string;
    readonly name: string;
    /** null: the whole Pod. */
    readonly container: string | null;
    readonly pods: number;
  };
  /** What is wrong, one sentence. */
  readonly what: string;
  /** Why that hurts, one sentence. */
  readonly why: string;
  /** The exact change to make. */
  readonly change: string;
}

export interface UnreadableImage {
  readonly image: string;
  readonly platform: string;
  /** Of `libc/detector.ts` DetectionFailure: `unauthorized`, `not-found`, … */
  readonly code: string;
  readonly message: string;
  /** What to grant or to set, one sentence. */
  readonly grant: string;
  readonly pods: number;
  /** Sorted. */
  readonly namespaces: readonly string[];
}
