import { REASONS } from '../../policy/reasons.ts';
import type { AuditReport, NamespaceEntry } from '../report/report.ts';
import type { PageRow, PageTable } from './page-data.ts';
import { shown } from './shown.ts';
import { number, RESOLVERS } from './words.ts';

const listed = (counts: readonly (readonly [string, number])[]): string =>
  counts
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${number(count)}`)
    .join(', ') || 'none';

function row(entry: NamespaceEntry): PageRow {
  const { name, mode, reason, workloads, pods, podsThatWouldChange, resolvers, exposure, findings } = entry;
  const used = RESOLVERS.filter((resolver) => resolvers[resolver] > 0);
  return {
    cells: [
      shown(name),
      mode,
      workloads,
      pods,
      exposure.yes,
      podsThatWouldChange,
      used.map((resolver) => ({ text: resolver, tone: resolver })),
      findings.error + findings.warning + findings.info,
    ],
    details: [
      ...(reason === null ? [] : [{ term: 'Mode', text: `${shown(reason)}: ${REASONS[reason] ?? ''}` }]),
      { term: 'Containers', text: listed(RESOLVERS.map((resolver) => [resolver, resolvers[resolver]])) },
      {
        term: 'Pods today',
        text: listed([
          ['exposed', exposure.yes],
          ['possibly exposed', exposure.possible],
          ['mitigated', exposure.mitigated],
          ['not exposed', exposure.no],
        ]),
      },
      { term: 'Findings', text: listed(Object.entries(findings)) },
    ],
  };
}

/** Every namespace: its mode, and what is in it. */
export const namespaceTable = ({ namespaces }: AuditReport): PageTable => ({
  id: 'namespace-table',
  noun: ['namespace', 'namespaces'],
  columns: [
    { label: 'Namespace', kind: 'text' },
    { label: 'Mode', kind: 'text', choice: true },
    { label: 'Workloads', kind: 'number' },
    { label: 'Pods', kind: 'number' },
    { label: 'Exposed Pods', kind: 'number' },
    { label: 'Would change', kind: 'number' },
    { label: 'Resolver', kind: 'tags', choice: true },
    { label: 'Findings', kind: 'number' },
  ],
  rows: namespaces.map(row),
});
