import { counted, printable } from '../util/text.ts';
import { type Advice, type Group, GROUPS, type Status } from './check.ts';
import type { Checked } from './run.ts';

/** What `libc-dns doctor` found; `-o json` prints exactly this. Names and messages may be other people's. */
export interface DoctorReport {
  readonly apiVersion: 'doctor.libc-dns.dev/v1';
  readonly kind: 'DoctorReport';
  /** RFC 3339, UTC. */
  readonly generatedAt: string;
  /** Of the program. */
  readonly version: string;
  /** The API server's address; null where there is none. */
  readonly server: string | null;
  /** Where the webhook's configuration was read: a file, `ConfigMap namespace/name`, `defaults`. */
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
  /** What to do; a command line where one does it. */
  readonly advice: readonly { readonly text: string; readonly command?: string }[];
  /** By check: docs/doctor.md. */
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
 * Whether a program that goes by the exit status should stop; `strict`: for a warning, too. Where nothing could be looked at,
 * nothing is known to be well.
 */
export function fails({ summary }: DoctorReport, strict: boolean): boolean {
  const { ok, warning, failure } = summary;
  return failure > 0 || (strict && warning > 0) || ok + warning + failure === 0;
}

/** What makes words stand out. */
export interface TextStyle {
  /** Columns of the terminal. */
  readonly columns: number;
  readonly status: (status: Status, text: string) => string;
  readonly heading: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly command: (text: string) => string;
}

const GLYPHS: Readonly<Record<Status, string>> = { ok: '✓', warning: '!', failure: '✗', skipped: '-' };

const WORD = 'warning'.length;

/** Longer lines are hard to read, shorter ones hold no sentence. */
const [MOST_COLUMNS, LEAST_TEXT] = [110, 36];

/** Breaks at spaces; a word that is too long by itself stays whole. */
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

interface Layout {
  readonly style: TextStyle;
  /** Columns of the longest id. */
  readonly ids: number;
  /** Columns left of the text. */
  readonly left: number;
  readonly width: number;
}

function layoutOf(checks: readonly CheckEntry[], style: TextStyle): Layout {
  const columns = Math.min(style.columns, MOST_COLUMNS);
  const ids = Math.max(...checks.map(({ id }) => id.length), 0);
  const beside = 2 + 2 + WORD + 2 + ids + 2;
  const left = columns - beside >= LEAST_TEXT ? beside : 6;
  return { style, ids, left, width: Math.max(columns - left, LEAST_TEXT) };
}

function adviceLines({ text, command }: Advice, { style, left, width }: Layout): string[] {
  const indent = ' '.repeat(left);
  const [first = '', ...others] = wrap(printable(text), width - 3);
  const sentence = [`${indent}-> ${first}`, ...others.map((line) => `${indent}   ${line}`)];
  if (command === undefined) return sentence;
  // A command is never wrapped: it is there to be copied.
  const shown = printable(command);
  const beside = shown.length <= width - 3 ? left + 3 : 6;
  return [...sentence, `${' '.repeat(beside)}${style.command(shown)}`];
}

function checkLines({ id, status, seen, details, advice }: CheckEntry, layout: Layout): string[] {
  const { style, ids, left, width } = layout;
  const indent = ' '.repeat(left);
  const head = `  ${style.status(status, `${GLYPHS[status]} ${status.padEnd(WORD)}`)}  ${id.padEnd(ids)}`;
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

/** Several checks that could not be carried out for the same reason say it once. */
const isSame = (one: CheckEntry, other: CheckEntry | undefined): boolean =>
  one.status === 'skipped' && other?.status === 'skipped' && one.seen === other.seen && other.group === one.group;

const AS_ABOVE = { seen: 'the same', details: [], advice: [] };

const needsCluster = ({ data }: CheckEntry): boolean => data['needs'] === 'cluster';

/** A paragraph beneath the sections, as wide as they are. */
function paragraph(text: string, { style, left, width }: Layout): string[] {
  return ['', ...wrap(text, left + width).map((line) => style.dim(line))];
}

function leftOut(checks: readonly CheckEntry[], layout: Layout): string[] {
  const names = checks.filter(needsCluster).map(({ id }) => id);
  if (names.length === 0) return [];
  const some = names.length === 1 ? '1 check needs' : `${names.length} checks need`;
  return paragraph(`${some} a cluster that answers, left out: ${names.join(', ')}.`, layout);
}

const MORE = 'An account with more rights sees more: a cluster administrator may read all of it.';

function rightsLine(checks: readonly CheckEntry[], layout: Layout): string[] {
  return checks.some(({ data }) => data['needs'] === 'right') ? paragraph(MORE, layout) : [];
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

/** The report for a terminal: what is wrong with what to do beneath it, and the sum in the last line. */
export function reportText(report: DoctorReport, style: TextStyle): string {
  const shown = report.checks.filter((check) => !needsCluster(check));
  const layout = layoutOf(shown, style);
  const sections: string[] = [];
  for (const group of Object.keys(GROUPS) as Group[]) {
    const checks = shown.filter((check) => check.group === group);
    if (checks.length > 0) sections.push('', style.heading(GROUPS[group]));
    for (const [index, check] of checks.entries()) {
      const shortened = isSame(check, checks[index - 1]) ? { ...check, ...AS_ABOVE } : check;
      sections.push(...checkLines(shortened, layout));
    }
  }
  const lines = [
    ...sections.slice(1),
    ...leftOut(report.checks, layout),
    ...rightsLine(shown, layout),
    '',
    summaryLine(report, style),
  ];
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}
