import type { Corpus } from './build.ts';
import { LEAST_RIGHT, type Grade, type Outcome } from './grade.ts';
import { ROUND_TRIPS, type Measurement } from './run.ts';
import type { Truth } from './corpus-image.ts';

export interface Summary {
  readonly images: number;
  readonly skipped: number;
  readonly right: number;
  readonly unknown: number;
  readonly wrong: number;
  /** Number of look-ups that exceeded a budget. */
  readonly overBudget: number;
  readonly most: { readonly requests: number; readonly bytes: number; readonly milliseconds: readonly number[] };
  readonly median: { readonly requests: number; readonly bytes: number; readonly milliseconds: readonly number[] };
  /** Why the corpus fails; empty if it passes. */
  readonly failures: readonly string[];
}

export function summarise(corpus: Corpus, measurements: readonly Measurement[]): Summary {
  const count = (wanted: Grade): number => measurements.filter((one) => one.grade === wanted).length;
  const overBudget = measurements.filter(({ overruns }) => overruns.length > 0).length;
  const right = count('right');
  const wrong = count('WRONG');
  const columns = ROUND_TRIPS.map((_, index) => measurements.map(({ milliseconds }) => milliseconds[index] ?? 0));
  const requests = measurements.map((one) => one.requests);
  const bytes = measurements.map((one) => one.bytes);
  const figures = (pick: (values: readonly number[]) => number): Summary['most'] => ({
    requests: pick(requests),
    bytes: pick(bytes),
    milliseconds: columns.map((column) => Math.round(pick(column))),
  });
  return {
    images: measurements.length,
    skipped: corpus.skipped.length,
    right,
    unknown: count('unknown'),
    wrong,
    overBudget,
    most: figures((values) => Math.max(0, ...values)),
    median: figures((values) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0),
    failures: [
      ...(wrong > 0 ? [`${wrong} wrong`] : []),
      ...(right < LEAST_RIGHT * measurements.length ? [`fewer than ${LEAST_RIGHT * 100} % right`] : []),
      ...(overBudget > 0 ? [`${overBudget} over budget`] : []),
    ],
  };
}

/** Renders the accuracy and cost of each image, what was skipped, and the summary. */
export function textReport(corpus: Corpus, measurements: readonly Measurement[], summary: Summary): string {
  const header = ['image', 'truth', 'verdict', 'evidence', 'conf', 'grade'];
  const costs = [
    'req',
    'bytes',
    'share',
    ...ROUND_TRIPS.map((delay) => `ms@${delay}`),
    'copy bytes',
    'copy ms',
    'note',
  ];
  const rows = measurements.map((one) => [
    one.entry.name,
    truthText(one.entry.truth),
    outcomeText(one.outcome),
    'verdict' in one.outcome ? one.outcome.verdict.evidence.source : 'error',
    'verdict' in one.outcome ? one.outcome.verdict.evidence.confidence.toFixed(2) : '',
    one.grade,
    String(one.requests),
    String(one.bytes),
    `${(100 * one.share).toFixed(2)} %`,
    ...one.milliseconds.map((value) => value.toFixed(0)),
    `${one.copy.bytes}${one.copy.by === 'sum' ? ' (sum)' : ''}`,
    one.copy.milliseconds === undefined ? '' : String(one.copy.milliseconds),
    one.overruns.length === 0 ? '' : `over budget: ${one.overruns.join(', ')}`,
  ]);
  const details = measurements
    .filter((one) => one.grade !== 'right')
    .map((one) => `${one.grade} ${one.entry.name} (${one.entry.trap}): ${detailOf(one.outcome)}`);
  const skipped = corpus.skipped.map(({ entry, reason }) => `SKIPPED ${entry.name} (${entry.trap}): ${reason}`);
  return [table([[...header, ...costs], ...rows]), ...details, ...skipped, '', summaryText(summary)].join('\n');
}

/** Returns the same for `--json`. */
export function jsonReport(corpus: Corpus, measurements: readonly Measurement[], summary: Summary): object {
  return {
    summary,
    images: measurements.map(({ entry, outcome, milliseconds, ...rest }) => ({
      name: entry.name,
      trap: entry.trap,
      truth: entry.truth,
      budget: entry.budget,
      ...outcome,
      ...rest,
      milliseconds: Object.fromEntries(ROUND_TRIPS.map((delay, index) => [delay, milliseconds[index]])),
    })),
    skipped: corpus.skipped.map(({ entry, reason }) => ({ name: entry.name, trap: entry.trap, reason })),
  };
}

function summaryText({ images, skipped, right, unknown, wrong, most, median, failures }: Summary): string {
  const times = ROUND_TRIPS.map(
    (delay, index) => `${median.milliseconds[index]} / ${most.milliseconds[index]} ms at ${delay} ms`,
  );
  return [
    `${images} images: ${right} right, ${unknown} unknown, ${wrong} wrong; ${skipped} skipped`,
    `median / most: ${median.requests} / ${most.requests} requests, ${median.bytes} / ${most.bytes} bytes, ${times.join(', ')}`,
    failures.length === 0 ? 'passed' : `FAILED: ${failures.join(', ')}`,
  ].join('\n');
}

function truthText(truth: Truth): string {
  if ('error' in truth) return truth.error;
  return `${truth.resolver}/${typeof truth.libc === 'string' ? truth.libc : truth.libc.join('|')}`;
}

function outcomeText(outcome: Outcome): string {
  return 'error' in outcome ? outcome.error : `${outcome.verdict.resolver}/${outcome.verdict.libc}`;
}

function detailOf(outcome: Outcome): string {
  return 'error' in outcome ? outcome.message : `${outcomeText(outcome)}, ${outcome.verdict.evidence.detail}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
