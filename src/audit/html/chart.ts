import { html, type Markup } from './markup.ts';
import type { Tone } from './page-data.ts';
import { number } from './words.ts';

export interface Segment {
  readonly label: string;
  readonly tone: Tone;
  readonly value: number;
}

export interface Bar {
  /** Text or a link. */
  readonly label: Markup;
  readonly segments: readonly Segment[];
}

/** For whoever hears the chart. */
export interface ChartHeads {
  readonly caption: string;
  /** What has a bar each. */
  readonly by: string;
  /** What is counted. */
  readonly unit: string;
}

const sum = (segments: readonly Segment[]): number => segments.reduce((total, { value }) => total + value, 0);

/** Percent of the chart's width, with as many places as the eye can tell apart. */
const percent = (value: number, of: number): string => `${of === 0 ? 0 : Number(((value / of) * 100).toFixed(2))}%`;

function bar(segments: readonly Segment[], longest: number): Markup {
  let start = 0;
  const drawn: Markup[] = [];
  for (const { label, tone, value } of segments) {
    if (value === 0) continue;
    drawn.push(
      html`<rect class="tone-${tone}" x="${percent(start, longest)}" width="${percent(value, longest)}" height="100%"
        ><title>${label}: ${number(value)}</title></rect
      >`,
    );
    start += value;
  }
  const spoken = segments.filter(({ value }) => value > 0).map(({ label, value }) => `${label} ${number(value)}`);
  return html`<svg class="bar" role="img" aria-label="${spoken.join(', ') || 'none'}" width="100%" height="16">
    ${drawn}
  </svg>`;
}

/**
 * Bars of one length scale as a table: what a bar shows is also its label for a screen reader, and the number stands beside it. Bars
 * are as wide as the column, so that the text keeps its size on a phone.
 */
export function barChart({ caption, by, unit }: ChartHeads, bars: readonly Bar[]): Markup {
  const longest = Math.max(0, ...bars.map(({ segments }) => sum(segments)));
  const rows = bars.map(
    ({ label, segments }) =>
      html`<tr>
        <th scope="row">${label}</th>
        <td>${bar(segments, longest)}</td>
        <td class="number">${number(sum(segments))}</td>
      </tr>`,
  );
  return html`<table class="chart">
    <caption class="hidden">
      ${caption}
    </caption>
    <thead class="hidden">
      <tr>
        <th scope="col">${by}</th>
        <th scope="col">${caption}</th>
        <th scope="col">${unit}</th>
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`;
}

export function legend(entries: readonly Omit<Segment, 'value'>[]): Markup {
  const items = entries.map(
    ({ label, tone }) =>
      html`<li>
        <svg class="key" aria-hidden="true" width="12" height="12">
          <rect class="tone-${tone}" width="100%" height="100%" /></svg
        >${label}
      </li>`,
  );
  return html`<ul class="legend">
    ${items}
  </ul>`;
}
