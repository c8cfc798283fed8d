/** A figure that was measured several times. */
export interface Figure {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** The value below which a `share` (0 to 1) of the values lies: nearest rank. NaN where there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
  return sorted[rank - 1] ?? Number.NaN;
}

/** The middle of the values; of an even number the mean of the two in the middle. NaN where there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** Median, least and greatest of the values. */
export function figure(values: readonly number[]): Figure {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** Each value by the one of the floor in the same round: what disturbs a round disturbs both. */
export function ratios(values: readonly number[], floor: readonly number[]): number[] {
  return values.map((value, round) => value / (floor[round] ?? Number.NaN));
}

/** What `things` each add, from the first to the last of the points: least squares. NaN where there is one point. */
export function slope(points: readonly { readonly things: number; readonly value: number }[]): number {
  const meanX = points.reduce((sum, { things }) => sum + things, 0) / points.length;
  const meanY = points.reduce((sum, { value }) => sum + value, 0) / points.length;
  let above = 0;
  let below = 0;
  for (const { things, value } of points) {
    above += (things - meanX) * (value - meanY);
    below += (things - meanX) ** 2;
  }
  return above / below;
}
