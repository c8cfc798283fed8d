import { resolverName } from '../../policy/verdict.ts';
import { counted, printable } from '../../util/text.ts';
import { mostExposedFirst } from '../report/inventory.ts';
import type { AuditReport } from '../report/report.ts';
import { unreadableGroups } from '../report/unreadable.ts';

const MOST_ROWS = 200;
const LONGEST = 500;

/** A zero-width space. It keeps GitHub from turning text into links, mentions and issue numbers. */
const GAP = '&#8203;';

/** Escapes untrusted text for Markdown: no markup, links, mentions or line ends; invisible characters are spelled out. */
function escapeMarkdown(text: string): string {
  return printable(text, LONGEST)
    .replaceAll('&', '&amp;')
    .replaceAll('\\', '&#92;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[`*_[\]()|~!]/g, String.raw`\$&`)
    .replaceAll(/[@#]/g, (sign) => `${sign === '#' ? String.raw`\#` : sign}${GAP}`)
    .replaceAll(/\b(https?|ftp|www)([:.])/gi, `$1${GAP}$2`);
}

const cell = (value: string | number): string => (typeof value === 'number' ? String(value) : escapeMarkdown(value));

function table(titles: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  if (rows.length === 0) return '';
  const lines = rows.slice(0, MOST_ROWS).map((row) => `| ${row.map(cell).join(' | ')} |\n`);
  const more = rows.length - lines.length;
  const note = more > 0 ? `\n${more} more are left out: \`-o json\` has all.\n` : '';
  return `| ${titles.join(' | ')} |\n|${titles.map(() => ' --- |').join('')}\n${lines.join('')}${note}`;
}

const section = (title: string, text: string): string => (text === '' ? '' : `\n## ${title}\n\n${text}`);

function head({ verdict, source, generatedAt, version }: AuditReport): string {
  const where = source.kind === 'cluster' ? source.server : counted(source.files.length, 'manifest');
  const because = verdict.because.map((line) => `- ${escapeMarkdown(line)}\n`).join('');
  const next = verdict.next.map((line, index) => `${index + 1}. ${escapeMarkdown(line)}\n`).join('');
  const facts = `libc-dns-webhook ${escapeMarkdown(version)}, ${generatedAt}, decided by ${escapeMarkdown(source.configuration)}`;
  return `# DNS audit of ${escapeMarkdown(where)}\n\n${facts}\n\n**${escapeMarkdown(verdict.sentence)}**\n\n${because}${section('Next', next)}`;
}

const pairs = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none';

function summary({ summary: sum, cluster, accepted }: AuditReport): string {
  return table(
    ['', ''],
    [
      ['Pods', `${sum.pods}, of which ${sum.podsThatWouldChange} would change and ${sum.podsPatched} are patched`],
      ['Workloads, namespaces', `${sum.workloads}, ${sum.namespaces}`],
      ['Containers by resolver', pairs(sum.resolvers)],
      ['Pods by remedy', pairs(sum.remedies)],
      ['Pods exposed', pairs(sum.exposure)],
      ['Findings', pairs(sum.findings)],
      ...(accepted.length > 0 ? [['Accepted', `${counted(accepted.length, 'finding')}, not counted`]] : []),
      ['Cluster DNS', `${cluster.dns.value} (${cluster.dns.source}), over TCP: ${cluster.dnsOverTcp}`],
      ['Node-local DNS cache', `${cluster.nodeLocal.state}: ${cluster.nodeLocal.detail}`],
      ['kube-proxy', `${cluster.kubeProxy.mode} (${cluster.kubeProxy.source})`],
    ],
  );
}

function findings({ findings: all }: AuditReport): string {
  const rows = all.map(({ severity, code, where, what, why, change }) => [
    severity,
    code,
    `${where.kind} ${where.namespace}/${where.name}`,
    where.pods,
    `${what} ${why}`,
    change,
  ]);
  return table(['', 'Finding', 'Where', 'Pods', 'What', 'Change'], rows);
}

function acceptedFindings({ accepted: all }: AuditReport): string {
  const rows = all.map(({ finding: { code, where }, reason, expires }) => [
    code,
    `${where.kind} ${where.namespace}/${where.name}`,
    where.pods,
    reason,
    expires ?? 'never',
  ]);
  return table(['Finding', 'Where', 'Pods', 'Why it is accepted', 'Ends'], rows);
}

/** Renders the report for a ticket, as tables in GitHub Flavored Markdown. */
export function auditMarkdown(report: AuditReport): string {
  const kernels = report.kernels.map(({ kernel, level, nodes, pods, detail }) => [kernel, level, nodes, pods, detail]);
  const namespaces = report.namespaces.map((entry) => [
    entry.name,
    entry.mode,
    entry.pods,
    entry.podsThatWouldChange,
    entry.exposure.yes + entry.exposure.possible,
    pairs(entry.resolvers),
  ]);
  const workloads = mostExposedFirst(report.workloads).map((entry) => [
    `${entry.kind} ${entry.namespace}/${entry.name}`,
    entry.pods,
    entry.mode,
    entry.containers.map((one) => `${one.name}: ${resolverName(one)}`).join(', '),
    entry.decision.remedy.join(', ') || 'none',
    entry.exposure.level,
    entry.decision.reason,
  ]);
  const unread = unreadableGroups(report).map(({ registry, code, grant, images, pods }) => [
    registry,
    code,
    pods,
    grant,
    images.map(({ image }) => image).join(', '),
  ]);
  const gaps = report.gaps.map(({ what, message, grant }) => [what, message, grant]);
  return [
    head(report),
    section('Summary', summary(report)),
    section('Findings', findings(report)),
    section('Accepted findings', acceptedFindings(report)),
    section('Images that could not be read', table(['Registry', 'Why', 'Pods', 'What to do', 'Images'], unread)),
    section('What could not be read', table(['What', 'Why', 'What to grant'], gaps)),
    section('Kernels', table(['Kernel', 'Race', 'Nodes', 'Pods', ''], kernels)),
    section('Namespaces', table(['Namespace', 'Mode', 'Pods', 'Would change', 'Exposed', 'Containers'], namespaces)),
    section('Workloads', table(['Workload', 'Pods', 'Mode', 'Resolvers', 'Remedy', 'Exposed', 'Reason'], workloads)),
  ].join('');
}
