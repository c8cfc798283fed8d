import type { DetectionFailure } from '../detection/detector.ts';
import { DECISION_ANNOTATION } from '../policy/annotations.ts';
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
import { asObject } from '../util/json.ts';
import type { PodReach } from './reach.ts';
import type { WorkloadExposure } from './report/report.ts';
import type { PodGroup } from './scan/scanned.ts';

/** A container's verdict, with the result of its image's look-up. */
export interface AuditedContainer extends ContainerVerdict {
  /** `linux/amd64`. */
  readonly platform: string;
  /** Digest of the platform's manifest; null if unknown. */
  readonly digest: string | null;
  readonly failure: { readonly code: DetectionFailure; readonly message: string } | null;
}

/** A group of equal Pods, with the decision of the webhook's rules. */
export interface DecidedGroup {
  readonly group: PodGroup;
  readonly pod: PodView;
  /** The effective mode today. */
  readonly mode: Mode;
  readonly modeReason: Reason | undefined;
  /** Decided as if the namespace had opted in, if only the opt-in is missing. */
  readonly decision: Decision;
  /** Invalid labels and annotations of ours, on the Pod and on its namespace today. */
  readonly warnings: readonly string[];
  readonly resolvConf: { readonly before: ResolvConf; readonly after: ResolvConf };
  /** Init containers first. Present even if the Pod is left alone. */
  readonly containers: readonly AuditedContainer[];
  readonly exposure: WorkloadExposure;
  readonly reach: PodReach;
}

/** The inputs of findings besides the Pods. */
export interface FindingContext {
  readonly cluster: ClusterFacts;
  readonly config: Pick<PolicyConfig, 'glibc'>;
  readonly applied: AppliedDecision | undefined;
  /** Whether the webhook looks at network policies. */
  readonly respected: boolean;
}

/** What the webhook did to a Pod, read from its annotation. */
export interface AppliedDecision {
  readonly reason: string;
  /** Empty if it changed nothing. */
  readonly remedy: readonly string[];
}

/** Our own annotations take about 200 characters plus a few for each container. */
const MOST_TEXT = 16_384;
const MOST_REMEDIES = 4;

/** Options that most configurations give to glibc. The configuration may have changed since a Pod was admitted. */
const USUAL = ['single-request-reopen', 'single-request', 'use-vc'];

/** Reads our annotation on a Pod. Returns undefined if there is no annotation or it does not have our format. */
export function appliedDecision(annotations: Readonly<Record<string, string>>): AppliedDecision | undefined {
  const text = annotations[DECISION_ANNOTATION];
  if (text === undefined || text.length > MOST_TEXT) return undefined;
  try {
    const { remedy, reason } = asObject(JSON.parse(text));
    if (!Array.isArray(remedy) || typeof reason !== 'string') return undefined;
    const words = remedy.filter((word) => typeof word === 'string').slice(0, MOST_REMEDIES);
    return { reason: reason.slice(0, 64), remedy: words.map((word) => word.slice(0, 64)) };
  } catch {
    return undefined;
  }
}

/** Returns the part of our patch that something else has overwritten in the Pod; undefined if the whole patch is still there. */
export function lostPatch(
  { dnsPolicy, dnsConfig, sidecar }: Pick<PodView, 'dnsPolicy' | 'dnsConfig' | 'sidecar'>,
  { remedy }: AppliedDecision,
  { glibc }: Pick<PolicyConfig, 'glibc'>,
): string | undefined {
  const has = (name: string): boolean => dnsConfig.options.some((option) => option.name === name);
  const redirected = remedy.includes('redirect') || remedy.includes('sidecar');
  if (redirected && dnsPolicy !== 'None') return 'dnsPolicy None';
  if (remedy.includes('sidecar') && !sidecar.ours) return 'the init container libc-dns-cache';
  if (remedy.includes('retry') && !has('timeout') && !has('attempts')) return 'timeout and attempts';
  const names = glibc.options.map(({ name }) => name);
  if (remedy.includes('options') && names.length > 0 && ![...names, ...USUAL].some(has)) return names.join(', ');
  return undefined;
}
