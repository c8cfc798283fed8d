import type { FixState, Race } from '../exposure/kernel-fixes.ts';
import type { DnsChange, Mode, Remedy, ResolvConf } from '../policy/model.ts';
import type { Reason } from '../policy/reasons.ts';
import type { Evidence, Libc, Resolver } from '../policy/verdict.ts';

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

/** One of the races of the fault, and whether the kernel has its fix (`kernel-fixes.ts`). */
export interface KernelFix {
  readonly race: Race;
  /** `unknown`: the version alone does not tell, for distributions carry fixes back. `partial`: a first version of it. */
  readonly state: FixState;
  /** The upstream commit; null where several together are the fix. */
  readonly commit: string | null;
  /** How the race comes about. */
  readonly how: string;
  /** The first mainline release that has the whole fix, such as `5.9`. */
  readonly since: string;
  /** It only matters where packets go through NFQUEUE, as some network policies have it; `level` does not count it. */
  readonly onlyWithNfqueue: boolean;
}

/** Nodes with the same kernel. */
export interface KernelEntry {
  /** node.status.nodeInfo.kernelVersion. */
  readonly kernel: string;
  /** node.status.nodeInfo.osImage; of the first node by name. */
  readonly osImage: string;
  readonly nodes: number;
  /** The first five by name. */
  readonly nodeNames: readonly string[];
  /** Running there. */
  readonly pods: number;
  /** `exposed`: a fix is missing. `fixed`: none is. */
  readonly level: 'exposed' | 'unknown' | 'fixed';
  readonly fixes: readonly KernelFix[];
  /** One sentence. */
  readonly detail: string;
}

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
