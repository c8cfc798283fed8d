import { counted, printable } from '../util/text.ts';
import { type Advice, type Group, GROUPS, type Status } from './check.ts';
import type { Checked } from './run.ts';

/** The result of `libc-dns doctor`; `-o json` prints exactly this. Names and messages are untrusted text. */
export interface DoctorReport {
  readonly apiVersion: 'doctor.libc-dns.dev/v1';
  readonly kind: 'DoctorReport';
  /** RFC 3339, UTC. */
  readonly generatedAt: string;
  /** The version of this program. */
  readonly version: string;
  /** The API server's address; null if there is no cluster. */
  readonly server: string | null;
  /** Where the webhook's configuration was read from: a file, `ConfigMap namespace/name`, `defaults`. */
  readonly configuration: string;
  readonly summary: Readonly<Record<Status, number>>;
  /** In the order of the output. */
  readonly checks: readonly CheckEntry[];
}

export interface CheckEntry {
  readonly id: string;
  readonly group: string;
  readonly status: Status;
  /** What was seen, one sentence. */
  readonly seen: string;
  readonly details: readonly string[];
  /** What to do, with a command line if one does it. */
  readonly advice: readonly { readonly text: string; readonly command?: string }[];
  /** The keys depend on the check. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly durationMs: number;
}

interface ReportFrame {
  readonly now: Date;
  readonly version: string;
  readonly server?: string;
  readonly configuration: string;
}

export function doctorReport(
  checks: readonly Checked[],
  { now, version, server, configuration }: ReportFrame,
): DoctorReport {
  const summary = { ok: 0, warning: 0, failure: 0, skipped: 0 };
  for (const { status } of checks) summary[status] += 1;
  return {
    apiVersion: 'doctor.libc-dns.dev/v1',
    kind: 'DoctorReport',
    generatedAt: now.toISOString(),
    version,
    server: server ?? null,
    configuration,
    summary,
    checks: checks.map(({ durationMs, ...check }) => ({ ...check, durationMs: Math.round(durationMs) })),
  };
}

/**
 * Reports whether the command exits with 1: after a failure, with `strict` also after a warning, and if nothing is known but that the API
 * server answers.
 */
export function fails({ summary, checks }: DoctorReport, strict: boolean): boolean {
  const { warning, failure } = summary;
  return failure > 0 || (strict && warning > 0) || !hasLooked(checks);
}

/** An API server that answers shows nothing about the rest. */
function hasLooked(checks: readonly CheckEntry[]): boolean {
  const others = checks.filter(({ group }) => group !== 'access');
  return (others.length > 0 ? others : checks).some(({ status }) => status !== 'skipped');
}

/** How the text report highlights words. */
export interface TextStyle {
  /** Columns of the terminal. */
  readonly columns: number;
  readonly status: (status: Status, text: string) => string;
  readonly heading: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly command: (text: string) => string;
}

/** Renders the report for a terminal: each check with its advice beneath it, and the summary in the last line. */
export function reportText(report: DoctorReport, style: TextStyle): string {
  const shown = report.checks.filter((check) => !needsCluster(check));
  const layout = layoutOf(shown, style);
  const sections: string[] = [];
  const given = new Map<string, string>();
  for (const group of Object.keys(GROUPS) as Group[]) {
    const checks = shown.filter((check) => check.group === group);
    if (checks.length > 0) sections.push('', style.heading(GROUPS[group]));
    for (const [index, check] of checks.entries()) {
      const shortened = isSame(check, checks[index - 1]) ? { ...check, ...AS_ABOVE } : check;
      sections.push(...checkLines(onceAdvised(shortened, given), layout));
    }
  }
  const lines = [
    ...sections.slice(1),
    ...needsClusterLine(report.checks, layout),
    ...rightsLine(shown, layout),
    '',
    summaryLine(report, style),
  ];
  const first = lines.findIndex((line) => line !== '');
  return lines
    .slice(first)
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** Replaces advice that an earlier check has given by a reference to it. `given`: the check that gave each advice. */
function onceAdvised(check: CheckEntry, given: Map<string, string>): CheckEntry {
  const fresh: Advice[] = [];
  const elsewhere = new Set<string>();
  for (const one of check.advice) {
    const key = JSON.stringify([one.text, one.command]);
    const by = given.get(key);
    if (by === undefined) fresh.push(one);
    else if (by !== check.id) elsewhere.add(by);
    given.set(key, by ?? check.id);
  }
  if (elsewhere.size === 0) return { ...check, advice: fresh };
  return { ...check, advice: [...fresh, { text: `As for ${[...elsewhere].join(' and ')}.` }] };
}

const GLYPHS: Readonly<Record<Status, string>> = { ok: '✓', warning: '!', failure: '✗', skipped: '-' };

const STATUS_WIDTH = 'warning'.length;

function checkLines({ id, status, seen, details, advice }: CheckEntry, layout: Layout): string[] {
  const { style, ids, left, width } = layout;
  const indent = ' '.repeat(left);
  const head = `  ${style.status(status, `${GLYPHS[status]} ${status.padEnd(STATUS_WIDTH)}`)}  ${id.padEnd(ids)}`;
  const [first = '', ...others] = wrap(printable(seen), width);
  const isBeside = left > 6;
  return [
    isBeside ? `${head}  ${first}` : head.trimEnd(),
    ...[...(isBeside ? [] : [first]), ...others].map((line) => `${indent}${line}`),
    ...details.flatMap((detail) =>
      wrap(printable(detail), width - 2).map((line, index) => style.dim(`${indent}${index === 0 ? '' : '  '}${line}`)),
    ),
    ...advice.flatMap((one) => adviceLines(one, layout)),
  ];
}

function adviceLines({ text, command }: Advice, { style, left, width }: Layout): string[] {
  const indent = ' '.repeat(left);
  const [first = '', ...others] = wrap(printable(text), width - 3);
  const sentence = [`${indent}-> ${first}`, ...others.map((line) => `${indent}   ${line}`)];
  if (command === undefined) return sentence;
  // Commands are never wrapped, so that they can be copied.
  const shown = printable(command);
  const beside = shown.length <= width - 3 ? left + 3 : 6;
  return [...sentence, `${' '.repeat(beside)}${style.command(shown)}`];
}

/** Longer lines are hard to read; a narrower text column holds no sentence. */
const [MOST_COLUMNS, LEAST_TEXT] = [110, 36];

interface Layout {
  readonly style: TextStyle;
  /** Width of the longest id, in columns. */
  readonly ids: number;
  /** Columns to the left of the text. */
  readonly left: number;
  readonly width: number;
}

function layoutOf(checks: readonly CheckEntry[], style: TextStyle): Layout {
  const columns = Math.min(style.columns, MOST_COLUMNS);
  const ids = Math.max(...checks.map(({ id }) => id.length), 0);
  const beside = 2 + 2 + STATUS_WIDTH + 2 + ids + 2;
  const left = columns - beside >= LEAST_TEXT ? beside : 6;
  return { style, ids, left, width: Math.max(columns - left, LEAST_TEXT) };
}

/** Breaks at spaces. A word longer than `width` stays whole. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Neighbouring checks that were skipped for the same reason show it once. */
const isSame = (one: CheckEntry, other: CheckEntry | undefined): boolean =>
  one.status === 'skipped' && other?.status === 'skipped' && one.seen === other.seen && other.group === one.group;

const AS_ABOVE = { seen: 'the same', details: [], advice: [] };

const needsCluster = ({ data }: CheckEntry): boolean => data['needs'] === 'cluster';

function needsClusterLine(checks: readonly CheckEntry[], layout: Layout): string[] {
  const names = checks.filter(needsCluster).map(({ id }) => id);
  if (names.length === 0) return [];
  const some = names.length === 1 ? '1 check needs' : `${names.length} checks need`;
  // The check of the API server says why, unless it was not chosen.
  const why = checks.some(({ group }) => group === 'access') ? '' : ` Why: ${checks.find(needsCluster)?.seen}.`;
  return paragraph(`${some} a cluster that answers, left out: ${names.join(', ')}.${printable(why)}`, layout);
}

const MORE = 'An account with more rights sees more: a cluster administrator may read all of it.';

function rightsLine(checks: readonly CheckEntry[], layout: Layout): string[] {
  return checks.some(({ data }) => data['needs'] === 'right') ? paragraph(MORE, layout) : [];
}

/** Returns a paragraph below the sections, of the same width. */
function paragraph(text: string, { style, left, width }: Layout): string[] {
  return ['', ...wrap(text, left + width).map((line) => style.dim(line))];
}

function summaryLine({ summary }: DoctorReport, { status }: TextStyle): string {
  const { ok, warning, failure, skipped } = summary;
  const parts = [
    ...(failure > 0 ? [status('failure', counted(failure, 'failure'))] : []),
    ...(warning > 0 ? [status('warning', counted(warning, 'warning'))] : []),
    `${ok} ok`,
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return parts.join(', ');
}
