import { compareText, compareTexts } from '../../util/text.ts';
import type { DecidedGroup, FindingContext } from '../decided.ts';
import type { Finding, Severity } from '../report/report.ts';
import { muslFindings } from './musl.ts';
import { injectedFindings } from './others.ts';
import { ownFindings } from './ours.ts';
import { type FindingDraft, findingOf, usesNodeFile } from './places.ts';
import { serverFindings } from './servers.ts';
import { tcpFindings } from './tcp.ts';

const CHECKS: readonly ((group: DecidedGroup, context: FindingContext) => FindingDraft[])[] = [
  muslFindings,
  serverFindings,
  tcpFindings,
  injectedFindings,
  ownFindings,
];

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'info'];

/** Returns everything that is wrong with a group of equal Pods. Skips Pods that use the node's resolv.conf or have none. */
export function findingsOf(group: DecidedGroup, context: FindingContext): Finding[] {
  const { reason } = group.decision;
  if (usesNodeFile(group.pod) || reason === 'Windows' || reason === 'MirrorPod') return [];
  return CHECKS.flatMap((check) => check(group, context)).map((draft) => findingOf(group, draft));
}

/** Orders findings: the most severe first, then by code and place. */
export function compareFindings(a: Finding, b: Finding): number {
  const bySeverity = SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity);
  return (
    bySeverity || compareText(a.code, b.code) || compareTexts(placeOf(a), placeOf(b)) || compareText(a.what, b.what)
  );
}

const placeOf = ({ where: { namespace, kind, name, container } }: Finding): string[] => [
  namespace,
  kind,
  name,
  container ?? '',
];
