import type { AuditReport, Finding } from '../report/report.ts';
import type { PageRow, PageTable } from './page-data.ts';
import { isCode, shown, shownLines } from './shown.ts';
import { SEVERITY } from './words.ts';

function row({ code, severity, where, what, why, change }: Finding): PageRow {
  return {
    cells: [
      shown(where.name),
      shown(where.kind),
      shown(where.namespace),
      where.container === null ? '' : shown(where.container),
      where.pods,
      [{ text: severity, tone: SEVERITY[severity] }],
      shown(code),
    ],
    details: [
      { term: 'What', text: shown(what, 2000) },
      { term: 'Why it matters', text: shown(why, 2000) },
      { term: 'Change to make', text: shownLines(change, 4000), ...(isCode(change) && { code: 'plain' }) },
    ],
  };
}

/** Every place where something is wrong, with the change to make there. */
export const findingTable = ({ findings }: AuditReport): PageTable => ({
  id: 'finding-table',
  noun: ['finding', 'findings'],
  columns: [
    { label: 'Workload', kind: 'text' },
    { label: 'Kind', kind: 'text' },
    { label: 'Namespace', kind: 'text', choice: true },
    { label: 'Container', kind: 'text' },
    { label: 'Pods', kind: 'number' },
    { label: 'Severity', kind: 'tags', choice: true },
    { label: 'Finding', kind: 'text', choice: true },
  ],
  rows: findings.map(row),
});
