import type { DetectionFailure } from '../detection/detector.ts';
import type {
  ClusterFacts,
  ContainerVerdict,
  Decision,
  Mode,
  PodView,
  PolicyConfig,
  ResolvConf,
} from '../policy/model.ts';
import type { Reason } from '../policy/reasons.ts';
import type { AppliedDecision } from './applied.ts';
import type { WorkloadExposure } from './report/report.ts';
import type { PodGroup } from './scan/scanned.ts';

/** A container's verdict, with what the look-up of its image told. */
export interface AuditedContainer extends ContainerVerdict {
  /** `linux/amd64`. */
  readonly platform: string;
  /** Of the platform's manifest; null where it is not known. */
  readonly digest: string | null;
  readonly executable: string | null;
  readonly failure: { readonly code: DetectionFailure; readonly message: string } | null;
}

/** Pods that are alike, and what the webhook's rules make of them. */
export interface DecidedGroup {
  readonly group: PodGroup;
  readonly pod: PodView;
  /** Today. */
  readonly mode: Mode;
  readonly modeReason: Reason | undefined;
  /** As if the namespace had opted in, where that is all that is missing. */
  readonly decision: Decision;
  /** Labels and annotations of ours that are not valid, the namespace's as it is today included. */
  readonly warnings: readonly string[];
  readonly resolvConf: { readonly before: ResolvConf; readonly after: ResolvConf };
  /** Also where the Pod is left alone. Init containers first. */
  readonly containers: readonly AuditedContainer[];
  readonly exposure: WorkloadExposure;
}

/** What findings are judged by, beside the Pods. */
export interface FindingContext {
  readonly cluster: ClusterFacts;
  readonly config: Pick<PolicyConfig, 'glibc'>;
  readonly applied: AppliedDecision | undefined;
  /** The NetworkPolicy that keeps the Pods from DNS over TCP while UDP is allowed; `namespace/name`. */
  readonly tcpBlockedBy: string | undefined;
}
