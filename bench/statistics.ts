/** A value that was measured several times. */
export interface Figure {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Returns the percentile for `share` (0 to 1) by nearest rank. NaN if there are no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
  return sorted[rank - 1] ?? Number.NaN;
}

/** Returns the median; for an even number of values the mean of the middle two. NaN if there are no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** Returns the median, minimum and maximum of the values. */
export function figure(values: readonly number[]): Figure {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** Divides each value by the floor's of the same round: a disturbance affects both. */
export function ratios(values: readonly number[], floor: readonly number[]): number[] {
  return values.map((value, round) => value / (floor[round] ?? Number.NaN));
}

/** Returns how much `value` grows per `count`, by least squares. NaN for a single point. */
export function slope(points: readonly { readonly count: number; readonly value: number }[]): number {
  const meanX = points.reduce((sum, { count }) => sum + count, 0) / points.length;
  const meanY = points.reduce((sum, { value }) => sum + value, 0) / points.length;
  let covariance = 0;
  let variance = 0;
  for (const { count, value } of points) {
    covariance += (count - meanX) * (value - meanY);
    variance += (count - meanX) ** 2;
  }
  return covariance / variance;
}
