import type { AuditReport, ContainerEntry, WorkloadEntry } from '../report/report.ts';
import type { PageDetail, PageRow, PageTable, Tag } from './page-data.ts';
import { changeYaml, resolvConfDiff } from './resolv-conf-text.ts';
import { shown, shownLines } from './shown.ts';
import { counted, EXPOSURE, remedyWords, RESOLVERS } from './words.ts';

const containerDetail = ({ name, image, resolver, libc, evidence }: ContainerEntry): PageDetail => ({
  term: `Container ${shown(name, 200)}`,
  text: `${shown(image)}: ${resolver}${libc === resolver ? '' : `, linked to ${libc}`}. ${shown(evidence.detail)} (${shown(evidence.source)}, ${evidence.confidence})`,
});

function resolverTags(containers: readonly ContainerEntry[]): Tag[] {
  const found = new Set(containers.map(({ resolver }) => resolver));
  return RESOLVERS.filter((resolver) => found.has(resolver)).map((resolver) => ({ text: resolver, tone: resolver }));
}

const remedyTag = (remedy: readonly string[]): Tag =>
  remedy.length === 0
    ? { text: remedyWords('none'), tone: 'quiet' }
    : { text: shown(remedyWords(remedy.toSorted().join('+'))), tone: 'good' };

function modeText({ mode, modeReason }: WorkloadEntry): string {
  return modeReason === null ? mode : `${mode} (${shown(modeReason)})`;
}

function changeDetails({ decision, resolvConf }: WorkloadEntry): PageDetail[] {
  const { change } = decision;
  if (change === null) return [];
  return [
    {
      term: 'resolv.conf',
      text: shownLines(resolvConfDiff(resolvConf.before, resolvConf.after), 4000),
      code: 'diff',
    },
    { term: 'The change, in the spec of the Pod', text: shownLines(changeYaml(change)), code: 'plain' },
  ];
}

function podsText({ pods, podNames, nodes }: WorkloadEntry): string {
  const names = podNames.map((name) => shown(name, 200)).join(', ');
  const more = pods > podNames.length && podNames.length > 0 ? ', …' : '';
  return names === '' ? counted(pods, 'Pod') : `${names}${more}, on ${counted(nodes, 'node')}`;
}

function details(workload: WorkloadEntry): PageDetail[] {
  const { decision, exposure, applied, findings, containers } = workload;
  const list: PageDetail[] = [
    { term: 'Decision', text: `${shown(decision.reason)}: ${shown(decision.message, 2000)}` },
    { term: 'Today', text: shown(exposure.detail, 2000) },
    ...containers.map(containerDetail),
    ...changeDetails(workload),
    { term: 'Mode', text: modeText(workload) },
    { term: 'Pods', text: podsText(workload) },
  ];
  if (applied)
    list.push({
      term: 'Done by the webhook',
      text: shown(`${applied.reason}: ${applied.remedy.join(', ') || 'nothing'}`),
    });
  if (findings.length > 0) list.push({ term: 'Findings', text: shown(findings.join(', ')) });
  return list;
}

function row(workload: WorkloadEntry): PageRow {
  const { kind, namespace, name, pods, containers, exposure, decision, findings } = workload;
  return {
    cells: [
      shown(name),
      shown(kind),
      shown(namespace),
      pods,
      resolverTags(containers),
      [EXPOSURE[exposure.level]],
      [remedyTag(decision.remedy)],
      findings.length,
    ],
    details: details(workload),
  };
}

/** Every workload: who resolves in it, whether the fault can hit it, what would be done and why. */
export const workloadTable = ({ workloads }: AuditReport): PageTable => ({
  id: 'workload-table',
  noun: ['workload', 'workloads'],
  columns: [
    { label: 'Workload', kind: 'text' },
    { label: 'Kind', kind: 'text' },
    { label: 'Namespace', kind: 'text', choice: true },
    { label: 'Pods', kind: 'number' },
    { label: 'Resolver', kind: 'tags', choice: true },
    { label: 'Exposure', kind: 'tags', choice: true },
    { label: 'Remedy', kind: 'tags', choice: true },
    { label: 'Findings', kind: 'number' },
  ],
  rows: workloads.map(row),
});
