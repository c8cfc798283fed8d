import { resolversOf } from '../../policy/verdict.ts';
import type { Paint } from '../../terminal/io.ts';
import { cut, fittedTable, wrapped } from '../../terminal/layout.ts';
import { counted, printable } from '../../util/text.ts';
import { mostExposedFirst } from '../report/inventory.ts';
import type { AuditReport, ExposureLevel, Finding } from '../report/report.ts';
import { notLookedUp, unreadableGroups } from '../report/unreadable.ts';

interface TableOptions {
  /** Columns of the terminal. */
  readonly width: number;
  readonly paint: Paint;
}

/** Renders the report for a terminal: the verdict, then problems, then everything by namespace and workload. */
export function auditTable(report: AuditReport, options: TableOptions): string {
  const parts = [head, summary, findings, unreadable, gaps, kernels, namespaces, workloads];
  return parts.map((part) => part(report, options)).join('');
}

const VERDICT_STYLE = { yes: 'yellow', no: 'green', perhaps: 'cyan' } as const;
const LEVEL_STYLE = { yes: 'yellow', possible: 'cyan', mitigated: 'gray', no: 'green' } as const;

function head(report: AuditReport, options: TableOptions): string {
  const { source, verdict, generatedAt, version } = report;
  const { paint, width } = options;
  const where = source.kind === 'cluster' ? source.server : counted(source.files.length, 'manifest');
  const only = source.namespaces.length === 0 ? '' : `, namespace ${source.namespaces.join(', ')}`;
  const title = `libc-dns-webhook ${version}: DNS audit of ${printable(where + only)}  ${generatedAt.slice(0, 16).replace('T', ' ')} UTC`;
  const sentence = wrapped(printable(verdict.sentence), width).trimEnd();
  const because = verdict.because.map((line) => wrapped(printable(line), width, '  - ', '    ')).join('');
  const next = verdict.next.map((line, index) => wrapped(printable(line), width, `  ${index + 1}. `, '     ')).join('');
  const styled = sentence
    .split('\n')
    .map((line) => paint(['bold', VERDICT_STYLE[verdict.needed]], line))
    .join('\n');
  return `${paint('gray', cut(title, width))}\n\n${styled}\n${because}${next === '' ? '' : `\nNext:\n${next}`}`;
}

function summary({ summary: sum, source, cluster, accepted, images }: AuditReport, options: TableOptions): string {
  const skipped = notLookedUp(images);
  const places = `${counted(sum.workloads, 'workload')}, ${counted(sum.namespaces, 'namespace')}`;
  const rows: [string, string][] = [
    ['Pods', `${sum.pods} in ${places}; ${sum.podsThatWouldChange} would change, ${sum.podsPatched} are patched`],
    ['Resolvers', `${numbers(sum.resolvers)}  (of ${counted(sum.containers, 'container')})`],
    [
      'Images',
      `${sum.images}, of which ${skipped > 0 ? `${skipped} were not looked up` : `${sum.unreadableImages} could not be read`}`,
    ],
    ['Remedies', numbers(sum.remedies)],
    ['Exposed', numbers(sum.exposure)],
    ['Findings', numbers(sum.findings)],
  ];
  if (accepted.length > 0) rows.push(['Accepted', `${counted(accepted.length, 'finding')} (--accept), not counted`]);
  if (source.kind === 'cluster') {
    const { dns, dnsOverTcp, nodeLocal, kubeProxy } = cluster;
    rows.push(
      ['Cluster DNS', `${dns.value} (${dns.source}), over TCP: ${dnsOverTcp}`],
      ['Node-local', `${nodeLocal.state}: ${nodeLocal.detail}`],
      ['kube-proxy', `${kubeProxy.mode} (${kubeProxy.source})`],
    );
  }
  rows.push(['Decided by', source.configuration]);
  const lines = rows.map(([name, text]) =>
    wrapped(printable(text), options.width, `  ${name.padEnd(12)} `, ' '.repeat(15)),
  );
  return `${heading('SUMMARY', options)}${lines.join('')}`;
}

/** Findings shown of one code; the rest is only counted. */
const MOST_SHOWN = 10;

const SEVERITY_STYLE = { error: 'red', warning: 'yellow', info: 'gray' } as const;

/** Groups findings by code: the reason once, then each place with what is wrong and what to change. */
function findings({ findings: entries }: AuditReport, options: TableOptions): string {
  if (entries.length === 0) return '';
  const { paint, width } = options;
  const parts: string[] = [];
  for (const [, sameCode] of Map.groupBy(entries, ({ code, severity }) => `${severity} ${code}`)) {
    const [first] = sameCode;
    if (first === undefined) continue;
    const title = `${paint(SEVERITY_STYLE[first.severity], first.severity)} ${paint('bold', first.code)}  ${sameCode.length}x`;
    const shown = sameCode.slice(0, MOST_SHOWN).map((finding) => findingText(finding, options));
    const more = sameCode.length - shown.length;
    if (more > 0) shown.push(`  and ${more} more like it: -o json or -o html shows all\n`);
    parts.push(`${title}\n${wrapped(printable(first.why), width, '  ')}${shown.join('')}`);
  }
  return `${heading('FINDINGS', options)}${parts.join('\n')}`;
}

function findingText(finding: Finding, { width, paint }: TableOptions): string {
  const place = wrapped(placeOf(finding), width, '  ', '    ').trimEnd();
  const what = wrapped(printable(finding.what), width, '    ');
  return `${paint('bold', place)}\n${what}${wrapped(printable(finding.change), width, '    -> ', '       ')}`;
}

const placeOf = ({ where: { kind, namespace, name, pods } }: Finding): string =>
  printable(`${kind} ${namespace}/${name} (${counted(pods, 'Pod')})`);

/** Groups them by registry and cause: the advice once, then each image. */
function unreadable(report: AuditReport, options: TableOptions): string {
  const lines = unreadableGroups(report).map(({ registry, code, grant, images, pods }) => {
    const count = `${counted(images.length, 'image')}, ${counted(pods, 'Pod')}`;
    const title = wrapped(printable(`${registry} (${count}): ${code}`), options.width, '  ', '    ');
    const advice = wrapped(printable(grant), options.width, '    -> ', '       ');
    const shown = images.slice(0, MOST_SHOWN).map(({ image, platform, message }) => {
      const name = wrapped(printable(`${image} (${platform})`), options.width, '    ', '      ');
      return `${name}${wrapped(printable(message), options.width, '      ')}`;
    });
    const more = images.length - shown.length;
    if (more > 0) shown.push(`    and ${more} more like it: -o json has all\n`);
    return `${title}${advice}${shown.join('')}`;
  });
  return lines.length === 0 ? '' : `${heading('IMAGES THAT COULD NOT BE READ', options)}${lines.join('')}`;
}

function gaps({ gaps: entries }: AuditReport, options: TableOptions): string {
  const lines = entries.map(({ what, message, grant }) => {
    const title = wrapped(printable(`${what}: ${message}`), options.width, '  ', '    ');
    return `${title}${wrapped(printable(grant), options.width, '    -> ', '       ')}`;
  });
  return lines.length === 0 ? '' : `${heading('WHAT COULD NOT BE READ', options)}${lines.join('')}`;
}

function kernels({ kernels: entries }: AuditReport, options: TableOptions): string {
  if (entries.length === 0) return '';
  const rows = entries.map(({ kernel, level, nodes, pods, detail }) => [printable(kernel), level, nodes, pods, detail]);
  const table = fittedTable([['KERNEL', 'RACE', 'NODES', 'PODS', ''], ...rows], options.width);
  return `${heading('KERNELS', options)}${table}`;
}

function namespaces({ namespaces: entries }: AuditReport, options: TableOptions): string {
  if (entries.length === 0) return '';
  const rows = entries.map((entry) => [
    printable(entry.name),
    entry.mode,
    entry.pods,
    entry.podsThatWouldChange,
    entry.exposure.yes + entry.exposure.possible,
    entry.resolvers.glibc,
    entry.resolvers.musl,
    entry.resolvers.go,
    entry.resolvers.other,
    entry.resolvers.unknown,
  ]);
  const titles = ['NAMESPACE', 'MODE', 'PODS', 'CHANGE', 'EXPOSED', 'GLIBC', 'MUSL', 'GO', 'OTHER', 'UNKNOWN'];
  return `${heading('NAMESPACES', options)}${fittedTable([titles, ...rows], options.width)}`;
}

/** Terminal columns from which the workload table shows kind and reason. */
const WIDE = 110;

const WORKLOAD_TITLES = ['WORKLOAD', 'PODS', 'MODE', 'RESOLVERS', 'REMEDY', 'EXPOSED', 'KIND', 'REASON'];
const LEVEL_COLUMN = 5;

function workloads({ workloads: entries }: AuditReport, options: TableOptions): string {
  if (entries.length === 0) return '';
  const rows = mostExposedFirst(entries).map((entry) => [
    printable(`${entry.namespace}/${entry.name}`),
    entry.pods,
    entry.mode,
    [...new Set(entry.containers.flatMap(resolversOf))].join('+') || '-',
    entry.decision.remedy.join('+') || '-',
    entry.exposure.level,
    printable(entry.kind),
    entry.decision.reason,
  ]);
  // Long names matter more than kind and reason.
  const shown =
    options.width < WIDE ? [WORKLOAD_TITLES, ...rows].map((row) => row.slice(0, -2)) : [WORKLOAD_TITLES, ...rows];
  const table = fittedTable(shown, options.width, (text, row, column) => {
    const level = text.trim() as ExposureLevel;
    return row > 0 && column === LEVEL_COLUMN && level in LEVEL_STYLE ? options.paint(LEVEL_STYLE[level], text) : text;
  });
  return `${heading('WORKLOADS', options)}${table}`;
}

const heading = (text: string, { paint }: TableOptions): string => `\n${paint('bold', text)}\n`;

const numbers = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join('  ') || 'none';
