import { kernelEntries } from '../../exposure/kernels.ts';
import type { ClusterFacts, NamespaceView, PolicyConfig } from '../../policy/model.ts';
import { candidatesOf } from '../../policy/verdict.ts';
import { compareTexts, sortedByKey } from '../../util/text.ts';
import { appliedDecision, type DecidedGroup } from '../decided.ts';
import { type Accepted, judgeAccepted } from '../findings/accepted.ts';
import { compareFindings, findingsOf } from '../findings/all.ts';
import type { Scanned } from '../scan/scanned.ts';
import { imageEntries, namespaceEntries, severities, totalsOf, unreadableImages } from './inventory.ts';
import { needVerdict } from './need.ts';
import type {
  AcceptedFinding,
  AuditReport,
  AuditSource,
  AuditSummary,
  ClusterSection,
  Finding,
  Gap,
  WorkloadEntry,
} from './report.ts';
import { notLookedUp } from './unreadable.ts';
import type { LeftOut } from '../../pod-resolvers/left-out.ts';

interface ReportInput {
  readonly generatedAt: Date;
  readonly version: string;
  readonly source: AuditSource;
  readonly scanned: Scanned;
  readonly decided: readonly DecidedGroup[];
  readonly config: PolicyConfig;
  /** The webhook looks at network policies. */
  readonly respected: boolean;
  readonly facts: ClusterFacts;
  readonly cluster: ClusterSection;
  readonly viewOf: (namespace: string) => NamespaceView;
  readonly gaps: readonly Gap[];
  /** Findings that are accepted. */
  readonly accept?: Accepted;
  /** Whether the webhook is installed; undefined if that is not known. */
  readonly installed: boolean | undefined;
  /** Where the policy of the API server is alone. */
  readonly podResolvers?: LeftOut | undefined;
}

/** Findings that count, by the Pods that have them, and those that are accepted. */
interface JudgedFindings {
  readonly perGroup: ReadonlyMap<DecidedGroup, readonly Finding[]>;
  readonly accepted: readonly AcceptedFinding[];
}

function judgedFindings({ decided, facts, config, respected, accept, generatedAt }: ReportInput): JudgedFindings {
  const accepted: AcceptedFinding[] = [];
  const perGroup = new Map(
    decided.map((one) => {
      const context = { cluster: facts, config, applied: appliedDecision(one.pod.annotations), respected };
      const found = findingsOf(one, context);
      if (accept === undefined) return [one, found];
      const judged = judgeAccepted(found, accept, generatedAt);
      accepted.push(...judged.accepted);
      return [one, judged.counted];
    }),
  );
  return { perGroup, accepted: accepted.toSorted((a, b) => compareFindings(a.finding, b.finding)) };
}

function workloadEntry(one: DecidedGroup, findings: readonly Finding[]): WorkloadEntry {
  const { group, decision, containers } = one;
  return {
    ...group.owner,
    pods: group.pods,
    podNames: group.podNames,
    nodes: group.nodes.size,
    mode: one.mode,
    modeReason: one.modeReason ?? null,
    containers: containers.map((container) => {
      const { name, image, resolver, libc, evidence } = container;
      return { name, image, resolver, libc, evidence, resolvers: candidatesOf(container) };
    }),
    decision: {
      reason: decision.reason,
      message: decision.message,
      remedy: decision.remedy,
      change: decision.change ?? null,
    },
    applied: appliedDecision(one.pod.annotations) ?? null,
    resolvConf: one.resolvConf,
    exposure: one.exposure,
    findings: [...new Set(findings.map(({ code }) => code))].toSorted(),
  };
}

function podsBy(decided: readonly DecidedGroup[], keyOf: (one: DecidedGroup) => string): Record<string, number> {
  const counts = new Map<string, number>();
  for (const one of decided) {
    const key = keyOf(one);
    counts.set(key, (counts.get(key) ?? 0) + one.group.pods);
  }
  return sortedByKey(Object.fromEntries(counts));
}

type Parts = Pick<AuditReport, 'findings' | 'unreadable' | 'namespaces' | 'images' | 'workloads'>;

function summaryOf({ decided, scanned }: ReportInput, parts: Parts): AuditSummary {
  const { workloads, ...totals } = totalsOf(decided);
  const patched = parts.workloads.filter(({ applied }) => applied !== null && applied.remedy.length > 0);
  return {
    pods: totals.pods,
    containers: totals.containers,
    workloads,
    namespaces: parts.namespaces.length,
    nodes: scanned.nodes.length,
    images: new Set(parts.images.map(({ image }) => image)).size,
    unreadableImages: new Set(parts.unreadable.map(({ image }) => image)).size,
    podsThatWouldChange: totals.podsThatWouldChange,
    podsPatched: patched.reduce((sum, { pods }) => sum + pods, 0),
    resolvers: totals.resolvers,
    remedies: podsBy(decided, ({ decision }) => decision.remedy.join('+') || 'none'),
    reasons: podsBy(decided, ({ decision }) => decision.reason),
    exposure: totals.exposure,
    findings: severities(parts.findings),
  };
}

/** Builds the report. Deterministic: the same input gives the same report, in the same order. */
export function buildReport(input: ReportInput): AuditReport {
  const { scanned, decided, source, cluster, config, facts, viewOf } = input;
  const { perGroup, accepted } = judgedFindings(input);
  const findings = [...perGroup.values()].flat().toSorted(compareFindings);
  const parts: Parts = {
    findings,
    unreadable: unreadableImages(decided),
    namespaces: namespaceEntries(decided, findings, { config, ownNamespace: facts.ownNamespace, viewOf }),
    images: imageEntries(decided),
    workloads: decided.map((one) => workloadEntry(one, perGroup.get(one) ?? [])),
  };
  const summary = summaryOf(input, parts);
  const kernels = kernelEntries(scanned.nodes, scanned.groups);
  const gaps = [...scanned.gaps, ...input.gaps].toSorted((a, b) =>
    compareTexts([a.what, a.message], [b.what, b.message]),
  );
  const { namespaces, unreadable, images } = parts;
  const { installed, podResolvers } = input;
  const judged = { source, summary, cluster, kernels, namespaces, unreadable, gaps, installed, podResolvers };
  return {
    apiVersion: 'audit.libc-dns.dev/v1',
    kind: 'AuditReport',
    generatedAt: input.generatedAt.toISOString(),
    version: input.version,
    source,
    verdict: needVerdict({ ...judged, notLookedUp: notLookedUp(images) }),
    summary,
    cluster,
    kernels,
    namespaces,
    workloads: parts.workloads,
    images,
    findings,
    accepted,
    unreadable,
    gaps,
  };
}
