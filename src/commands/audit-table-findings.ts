import type { AuditReport, Finding } from '../audit/report/report.ts';
import { wrapped } from '../terminal/layout.ts';
import { counted, printable } from '../util/text.ts';
import type { TableOptions } from './audit-table.ts';

/** Of one code; the rest is counted. */
const MOST_SHOWN = 10;

const STYLES = { error: 'red', warning: 'yellow', info: 'gray' } as const;

const placeOf = ({ where: { kind, namespace, name, pods } }: Finding): string =>
  printable(`${kind} ${namespace}/${name} (${counted(pods, 'Pod')})`);

function one(finding: Finding, { width, paint }: TableOptions): string {
  const place = wrapped(placeOf(finding), width, '  ', '    ').trimEnd();
  const what = wrapped(printable(finding.what), width, '    ');
  return `${paint('bold', place)}\n${what}${wrapped(printable(finding.change), width, '    -> ', '       ')}`;
}

/** Findings by code: why it hurts once, then what is wrong where, and what to do. */
export function findingsText({ findings }: AuditReport, options: TableOptions): string {
  if (findings.length === 0) return '';
  const { paint, width } = options;
  const parts: string[] = [];
  for (const [, alike] of Map.groupBy(findings, ({ code, severity }) => `${severity} ${code}`)) {
    const [first] = alike;
    if (first === undefined) continue;
    const title = `${paint(STYLES[first.severity], first.severity)} ${paint('bold', first.code)}  ${alike.length}x`;
    const shown = alike.slice(0, MOST_SHOWN).map((finding) => one(finding, options));
    const more = alike.length - shown.length;
    if (more > 0) shown.push(`  and ${more} more like it: -o json or -o html shows all\n`);
    parts.push(`${title}\n${wrapped(printable(first.why), width, '  ')}${shown.join('')}`);
  }
  return `\n${paint('bold', 'FINDINGS')}\n${parts.join('\n')}`;
}
