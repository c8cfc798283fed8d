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
  /** Images of each kind. */
  readonly kinds: Readonly<Record<string, Counts>>;
  /** Verdicts of each confidence, the first looks' among them. */
  readonly confidence: readonly { readonly from: number; readonly right: number; readonly wrong: number }[];
  /** Why the corpus fails; empty if it passes. */
  readonly failures: readonly string[];
}

interface Counts {
  readonly right: number;
  readonly unknown: number;
  readonly wrong: number;
}

const LEVELS = [0.95, 0.9, 0.7, 0.6, 0.3];

function countsOf(measurements: readonly Measurement[]): Counts {
  const count = (wanted: Grade): number => measurements.filter((one) => one.grade === wanted).length;
  return { right: count('right'), unknown: count('unknown'), wrong: count('WRONG') };
}

/** Returns how many verdicts of each level of confidence were right, in first looks and in the end. */
function calibration(measurements: readonly Measurement[]): Summary['confidence'] {
  const firsts = measurements.map(({ first, firstGrade }) => ({ outcome: first, grade: firstGrade }));
  const verdicts = [...firsts, ...measurements.filter(({ scan }) => scan !== undefined)];
  return LEVELS.map((from, index) => {
    const below = LEVELS[index - 1] ?? 2;
    const graded = verdicts.filter(({ outcome }) => {
      const confidence = 'error' in outcome ? -1 : outcome.verdict.evidence.confidence;
      return confidence >= from && confidence < below;
    });
    const count = (wanted: Grade): number => graded.filter(({ grade }) => grade === wanted).length;
    return { from, right: count('right'), wrong: count('WRONG') };
  });
}

export function summarise(corpus: Corpus, measurements: readonly Measurement[]): Summary {
  const kinds = Object.groupBy(measurements, ({ entry }) => entry.kind);
  const { right, unknown, wrong } = countsOf(measurements);
  const confidence = calibration(measurements);
  const overBudget = measurements.filter(({ overruns }) => overruns.length > 0).length;
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
    unknown,
    wrong,
    overBudget,
    most: figures((values) => Math.max(0, ...values)),
    median: figures((values) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0),
    kinds: Object.fromEntries(Object.entries(kinds).map(([kind, some]) => [kind, countsOf(some ?? [])])),
    confidence,
    failures: [
      ...(wrong > 0 ? [`${wrong} wrong`] : []),
      ...(right < LEAST_RIGHT * measurements.length ? [`fewer than ${LEAST_RIGHT * 100} % right`] : []),
      ...(confidence.some(({ from, wrong: some }) => from >= 0.9 && some > 0) ? ['wrong at 0.9 or more'] : []),
      ...(overBudget > 0 ? [`${overBudget} over budget`] : []),
    ],
  };
}

/** Renders the accuracy and cost of each image, what was skipped, and the summary. */
export function textReport(corpus: Corpus, measurements: readonly Measurement[], summary: Summary): string {
  const header = ['image', 'kind', 'truth', 'verdict', 'evidence', 'conf', 'grade'];
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
    one.entry.kind,
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
    [
      ...(one.scan === undefined ? [] : [`then ${one.scan.requests} requests, ${one.scan.bytes} bytes`]),
      ...one.overruns.map((overrun) => `over budget: ${overrun}`),
    ].join('; '),
  ]);
  const details = measurements
    .filter((one) => one.grade !== 'right')
    .map((one) => `${one.grade} ${one.entry.name} (${one.entry.trap}): ${detailOf(one.outcome)}`);
  const skipped = corpus.skipped.map(({ entry, reason }) => `SKIPPED ${entry.name} (${entry.trap}): ${reason}`);
  const shown = table([[...header, ...costs], ...rows]);
  return [shown, ...details, ...skipped, '', summaryText(summary), ...leftOut(corpus)].join('\n');
}

/** One line for the last table of .ci/run. */
function leftOut({ built, skipped }: Corpus): string[] {
  const [first] = skipped;
  if (first === undefined) return [];
  return [
    `!! ${skipped.length} OF ${built.length + skipped.length} IMAGES OF THE CORPUS WERE LEFT OUT: ${first.reason}`,
  ];
}

/** Returns the same for `--json`. */
export function jsonReport(corpus: Corpus, measurements: readonly Measurement[], summary: Summary): object {
  return {
    summary,
    images: measurements.map(({ entry, outcome, milliseconds, ...rest }) => ({
      name: entry.name,
      kind: entry.kind,
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

function summaryText(summary: Summary): string {
  const { images, skipped, right, unknown, wrong, most, median, failures } = summary;
  const times = ROUND_TRIPS.map(
    (delay, index) => `${median.milliseconds[index]} / ${most.milliseconds[index]} ms at ${delay} ms`,
  );
  return [
    table([
      ['kind', 'right', 'unknown', 'wrong'],
      ...Object.entries(summary.kinds).map(([kind, counts]) => [
        kind,
        String(counts.right),
        String(counts.unknown),
        String(counts.wrong),
      ]),
    ]),
    '',
    table([
      ['confidence from', 'right', 'wrong'],
      ...summary.confidence.map(({ from, right: good, wrong: bad }) => [from.toFixed(2), String(good), String(bad)]),
    ]),
    '',
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
