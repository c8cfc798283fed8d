import type { Exposure } from '../../exposure/exposure.ts';
import type { KernelEntry } from '../../exposure/kernels.ts';
import type { KubeProxy } from '../../exposure/kube-proxy.ts';
import type { DnsChange, Mode, Remedy, ResolvConf } from '../../policy/model.ts';
import type { Reason } from '../../policy/reasons.ts';
import type { Candidate, Evidence, Libc, Resolver } from '../../policy/verdict.ts';

/**
 * The result of `libc-dns audit`. `-o json` prints exactly this; the other formats are made from it. Everything is sorted, so
 * that the same cluster gives the same report apart from `generatedAt`. Names, images, annotations and messages are untrusted
 * text: escape them before you show them.
 */
export interface AuditReport {
  readonly apiVersion: 'audit.libc-dns.dev/v1';
  readonly kind: 'AuditReport';
  /** RFC 3339, UTC. The only field that differs between two runs on the same cluster. */
  readonly generatedAt: string;
  /** The version of this program. */
  readonly version: string;
  readonly source: AuditSource;
  readonly verdict: NeedVerdict;
  readonly summary: AuditSummary;
  readonly cluster: ClusterSection;
  /** Worst first, then by kernel. Empty if no nodes were read. */
  readonly kernels: readonly KernelEntry[];
  /** By name. */
  readonly namespaces: readonly NamespaceEntry[];
  /** By namespace, kind, name. A workload whose Pods differ in images, DNS settings or decision has several entries. */
  readonly workloads: readonly WorkloadEntry[];
  /** By image, platform, executable. */
  readonly images: readonly ImageEntry[];
  /** Most severe first, then by code, namespace, kind, name, container. */
  readonly findings: readonly Finding[];
  /** Findings that `--accept` names; no count and no other list has them. In the order of `findings`. */
  readonly accepted: readonly AcceptedFinding[];
  /** Images that could not be read, of Pods that the webhook may look at. By image. */
  readonly unreadable: readonly UnreadableImage[];
  /** Parts of the cluster that could not be read: what depends on them is missing or guessed. */
  readonly gaps: readonly Gap[];
}

/** The source of the Pods. */
export interface AuditSource {
  readonly kind: 'cluster' | 'manifests';
  /** The API server's address; empty for manifests. */
  readonly server: string;
  /** Empty for all. */
  readonly namespaces: readonly string[];
  /** For manifests: the file names as given. */
  readonly files: readonly string[];
  /** The source of the configuration that the decisions follow, for example `built-in defaults` or a file name. */
  readonly configuration: string;
}

/** Whether this cluster needs the webhook, in plain words. */
export interface NeedVerdict {
  /** `perhaps` if something decisive could not be read. */
  readonly needed: 'yes' | 'no' | 'perhaps';
  /** One sentence. */
  readonly sentence: string;
  /** The reasons, one sentence each. */
  readonly because: readonly string[];
  /** What the operator should do next, one sentence each, in order. */
  readonly next: readonly string[];
}

export interface AuditSummary {
  /** Running Pods; for manifests: Pods and Pod templates. The same holds for every field called `pods`. */
  readonly pods: number;
  readonly containers: number;
  /** Entries of `workloads`. */
  readonly workloads: number;
  readonly namespaces: number;
  readonly nodes: number;
  /** Number of distinct image references. */
  readonly images: number;
  readonly unreadableImages: number;
  /** Pods that the webhook would patch if it enforced; see {@link WorkloadEntry.decision}. */
  readonly podsThatWouldChange: number;
  /** Pods that carry the webhook's annotation of a patch. */
  readonly podsPatched: number;
  /** Containers by resolver. */
  readonly resolvers: Readonly<Record<Resolver, number>>;
  /** Pods by remedy: `options`, `redirect`, `retry`, `options+redirect`, …, and `none`. Sorted by name. */
  readonly remedies: Readonly<Record<string, number>>;
  /** Pods by reason. Sorted by name. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly exposure: ExposureCounts;
  readonly findings: Readonly<Record<Severity, number>>;
}

/** A value with its source: `configuration`, `service kube-system/kube-dns`, `built-in`, … */
export interface SourcedText {
  readonly value: string;
  readonly source: string;
}

export const sourcedText = (value: readonly string[] | string, source: string): SourcedText => ({
  value: [value].flat().join(' '),
  source,
});

export interface ClusterSection {
  /** Addresses, separated by spaces. */
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
  /** Whether some node can lose DNS packets, and with that what the configuration's `exposure` comes to. */
  readonly exposure: Exposure & { readonly setting: 'always' | 'auto' };
}

export interface Gap {
  /** What could not be read: `nodes`, `configmap kube-system/kube-proxy`. */
  readonly what: string;
  readonly message: string;
  /** The right to grant, or another remedy. */
  readonly grant: string;
}

/**
 * Whether the fault can affect a Pod as it runs today. `yes`: it sends two queries at once from one socket, through a translated
 * address, on a node whose kernel lacks a fix. `possible`: one of these is unknown. `mitigated`: as `yes` or `possible`, but the
 * resolver sends a lost packet again within a second. `no`: one of these is not the case.
 */
export type ExposureLevel = 'yes' | 'possible' | 'mitigated' | 'no';

export interface WorkloadExposure {
  readonly level: ExposureLevel;
  /** One sentence. */
  readonly detail: string;
}

/** Number of Pods by level. */
export type ExposureCounts = Readonly<Record<ExposureLevel, number>>;

export interface NamespaceEntry {
  readonly name: string;
  /** Today's mode of a Pod without our label. */
  readonly mode: Mode;
  /** Why the mode is off; null if it is on. */
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
  /** Of the program in the foreground; `unknown` if it is not certain which that is. */
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly evidence: Evidence;
  /** All programs that may resolve names in the container. */
  readonly resolvers: readonly Candidate[];
}

export interface WorkloadEntry {
  /** Kind of the topmost known owner: Deployment, not ReplicaSet; CronJob, not Job; Pod if nothing owns it. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly pods: number;
  /** The first five by name; empty for manifests. */
  readonly podNames: readonly string[];
  /** Number of distinct nodes that the Pods run on. */
  readonly nodes: number;
  /** The effective mode today. */
  readonly mode: Mode;
  /** Why the mode is off; null if it is on. */
  readonly modeReason: Reason | null;
  /** Init containers first. */
  readonly containers: readonly ContainerEntry[];
  /**
   * What the webhook would do to the next such Pod if it enforced. If only a missing opt-in keeps the mode off, this is decided
   * as if the namespace had opted in.
   */
  readonly decision: {
    readonly reason: Reason;
    readonly message: string;
    /** Empty if nothing would change. */
    readonly remedy: readonly Remedy[];
    /** null if nothing would change. */
    readonly change: DnsChange | null;
  };
  /** What the webhook did when it admitted the Pods, from its annotation; null if there is no annotation. */
  readonly applied: { readonly reason: string; readonly remedy: readonly string[] } | null;
  /** resolv.conf as the kubelet writes it today, and as it would write it after the change. */
  readonly resolvConf: { readonly before: ResolvConf; readonly after: ResolvConf };
  readonly exposure: WorkloadExposure;
  /** Codes of its findings, sorted. */
  readonly findings: readonly FindingCode[];
}

export interface ImageEntry {
  /** The reference as written in the Pods. */
  readonly image: string;
  /** `linux/amd64`. */
  readonly platform: string;
  /** Digest of the platform's manifest; null if unknown. */
  readonly digest: string | null;
  /** The program that the verdict is about; null if unknown. */
  readonly executable: string | null;
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly evidence: Evidence;
  /** All programs that may resolve names in its containers. */
  readonly resolvers: readonly Candidate[];
  readonly containers: number;
  readonly pods: number;
  /** Entries of `workloads`. */
  readonly workloads: number;
  /** Sorted. */
  readonly namespaces: readonly string[];
  /** Why it could not be read; null if it was read. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

export type Severity = 'error' | 'warning' | 'info';

/** docs/audit.md lists them. */
export const FINDING_CODES = [
  'MuslShortTimeout',
  'AttemptsZero',
  'TimeoutZero',
  'MuslNdotsLowered',
  'MuslSearchTooLong',
  'MuslOptionsTooLong',
  'UseVcWithoutTcp',
  'TcpBlockedByPolicy',
  'DeadNameserverFirst',
  'RedirectedToDeadCache',
  'NodeLocalAppended',
  'NodeLocalAlone',
  'OptionsIgnoredByMusl',
  'SearchesMissing',
  'TooManyNameservers',
  'InjectedByOthers',
  'UnknownNowDecided',
  'StaleDecision',
  'PatchUndone',
  'InvalidAnnotation',
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

/** A problem of Pods as they run today. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly where: {
    readonly namespace: string;
    readonly kind: string;
    readonly name: string;
    /** null if the finding concerns the whole Pod. */
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

/** A finding that a file of accepted findings names. */
export interface AcceptedFinding {
  readonly finding: Finding;
  /** Why somebody accepts it. */
  readonly reason: string;
  /** The last day, `2027-01-31`, UTC; null for ever. */
  readonly expires: string | null;
}

export interface UnreadableImage {
  readonly image: string;
  readonly platform: string;
  /** A `DetectionFailure` of detection/detector.ts: `unauthorized`, `not-found`, … */
  readonly code: string;
  readonly message: string;
  /** What to grant or to set, one sentence. */
  readonly grant: string;
  readonly pods: number;
  /** Sorted. */
  readonly namespaces: readonly string[];
}
