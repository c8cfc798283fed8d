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

/** What the webhook's annotation says that it did to a Pod. */
export interface AppliedDecision {
  readonly reason: string;
  /** Empty: nothing. */
  readonly remedy: readonly string[];
}

/** Ours take some 200 characters, and a few for each container. */
const MOST_TEXT = 16_384;
const MOST_REMEDIES = 4;

/** Given to glibc by most configurations: a Pod keeps what it was given by one that has changed since. */
const USUAL = ['single-request-reopen', 'single-request', 'use-vc'];

/** What our annotation on a Pod says; undefined: there is none, or somebody else wrote it. */
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

/** What was done and the Pod does not show any more, for somebody has written over it; undefined where it all is there. */
export function lostOf(
  { dnsPolicy, dnsConfig }: Pick<PodView, 'dnsPolicy' | 'dnsConfig'>,
  { remedy }: AppliedDecision,
  { glibc }: Pick<PolicyConfig, 'glibc'>,
): string | undefined {
  const has = (name: string): boolean => dnsConfig.options.some((option) => option.name === name);
  if (remedy.includes('redirect') && dnsPolicy !== 'None') return 'dnsPolicy None';
  if (remedy.includes('retry') && !has('timeout') && !has('attempts')) return 'timeout and attempts';
  const names = glibc.options.map(({ name }) => name);
  if (remedy.includes('options') && names.length > 0 && ![...names, ...USUAL].some(has)) return names.join(', ');
  return undefined;
}
