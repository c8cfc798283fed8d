import type { KernelEntry } from '../../exposure/kernels.ts';
import { REASONS } from '../../policy/reasons.ts';
import type { AuditReport, AuditSummary, NamespaceEntry } from '../report/report.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import type { Tone } from './page-data.ts';
import { counted, EXPOSURE, number, remedyWords, RESOLVERS, shown } from './text.ts';

interface Segment {
  readonly label: string;
  readonly tone: Tone;
  readonly value: number;
}

interface Bar {
  /** Text or a link. */
  readonly label: Markup;
  readonly segments: readonly Segment[];
}

/** Table headings for screen readers. */
interface ChartHeads {
  readonly caption: string;
  /** What each bar stands for. */
  readonly by: string;
  /** What the bars count. */
  readonly unit: string;
}

/** Renders the resolvers in the cluster, the decisions and the exposure as bar charts. */
export function chartsSection(report: AuditReport): Markup {
  return html`<section id="charts" aria-labelledby="charts-title">
    <h2 id="charts-title">At a glance</h2>
    <div class="cards">${namespaceCard(report)}${remedyCard(report.summary)}${kernelCard(report)}</div>
  </section>`;
}

/** More bars than this are easier to read in the table. */
const MOST_BARS = 12;

function namespaceCard({ namespaces, summary }: AuditReport): Markup {
  const largest = namespaces.toSorted((a, b) => containersOf(b) - containersOf(a)).slice(0, MOST_BARS);
  const bars: Bar[] = largest.map(({ name, resolvers }) => ({
    label: choiceLink('workloads', 'Namespace', shown(name)),
    segments: resolverSegments(resolvers),
  }));
  // A resolver that was not found is left out: where no image was looked up, 0 would be a claim.
  const total = RESOLVERS.filter((resolver) => summary.resolvers[resolver] > 0).map((resolver) => ({
    label: `${resolver} ${number(summary.resolvers[resolver])}`,
    tone: resolver,
  }));
  const rest = namespaces.length - largest.length;
  const more =
    rest > 0
      ? html`<p class="note">${counted(rest, 'smaller namespace')} in the <a href="#namespaces">table</a>.</p>`
      : NOTHING;
  return html`<article class="card wide">
    <h3>Resolvers by namespace</h3>
    <p class="note">
      Containers, by what resolves names in them. glibc obeys resolv.conf options; musl ignores them; Go needs none.
    </p>
    ${legend(total)}${barChart({ caption: 'Containers by resolver', by: 'Namespace', unit: 'Containers' }, bars)}${more}
  </article>`;
}

const resolverSegments = (resolvers: NamespaceEntry['resolvers']): Segment[] =>
  RESOLVERS.map((resolver) => ({ label: resolver, tone: resolver, value: resolvers[resolver] }));

const containersOf = ({ resolvers }: NamespaceEntry): number =>
  Object.values(resolvers).reduce((total, count) => total + count, 0);

/** Returns a link to a table that also sets one of its filters. Without the script it only leads to the table. */
function choiceLink(table: string, column: string, value: string): Markup {
  return html`<a href="#${table}" data-column="${column}" data-value="${value}"><bdi>${value}</bdi></a>`;
}

function remedyCard({ remedies, reasons }: AuditSummary): Markup {
  const bars: Bar[] = Object.entries(remedies)
    .toSorted(([, a], [, b]) => b - a)
    .map(([remedy, value]) => {
      const label = shown(remedyWords(remedy));
      return {
        label: choiceLink('workloads', 'Remedy', label),
        segments: [{ label, tone: remedyTone(remedy), value }],
      };
    });
  return html`<article class="card">
    <h3>Decisions by remedy</h3>
    <p class="note">Pods, by what enforcing would do to the next one like them.</p>
    ${barChart({ caption: 'Pods by remedy', by: 'Remedy', unit: 'Pods' }, bars)}${reasonsList(reasons)}
  </article>`;
}

function reasonsList(reasons: AuditSummary['reasons']): Markup {
  const sentences: Readonly<Record<string, string>> = REASONS;
  const rows = Object.entries(reasons)
    .toSorted(([, a], [, b]) => b - a)
    .map(
      ([reason, pods]) =>
        html`<div>
          <dt><code>${shown(reason)}</code> ${counted(pods, 'Pod')}</dt>
          <dd>${sentences[reason] ?? ''}</dd>
        </div>`,
    );
  return html`<details open>
    <summary>By reason</summary>
    <dl>${rows}</dl>
  </details>`;
}

const remedyTone = (remedy: string): Tone => (remedy === 'none' ? 'quiet' : 'good');

const KERNEL_TONES: Readonly<Record<KernelEntry['level'], Tone>> = { exposed: 'bad', unknown: 'notice', fixed: 'good' };
const KERNEL_WORDS: Readonly<Record<KernelEntry['level'], string>> = {
  exposed: 'fixes missing',
  unknown: 'fixes not known',
  fixed: 'has the fixes',
};

function kernelCard({ kernels, summary }: AuditReport): Markup {
  const bars: Bar[] = kernels.slice(0, MOST_BARS).map(({ kernel, level, pods }) => ({
    label: html`<bdi>${shown(kernel)}</bdi>`,
    segments: [{ label: KERNEL_WORDS[level], tone: KERNEL_TONES[level], value: pods }],
  }));
  const pods: Bar[] = (['yes', 'possible', 'mitigated', 'no'] as const).map((level) => ({
    label: choiceLink('workloads', 'Exposure', EXPOSURE[level].text),
    segments: [{ ...EXPOSURE[level], label: EXPOSURE[level].text, value: summary.exposure[level] }],
  }));
  const chart =
    kernels.length === 0
      ? html`<p class="note">No nodes were read.</p>`
      : html`${legend(Object.entries(KERNEL_WORDS).map(([level, label]) => ({ label, tone: KERNEL_TONES[level as KernelEntry['level']] })))}
        ${barChart({ caption: 'Pods by kernel', by: 'Kernel', unit: 'Pods' }, bars)}`;
  return html`<article class="card">
    <h3>Exposure by kernel</h3>
    <p class="note">Pods, by the kernel of their node and whether it has the fixes of the race.</p>
    ${chart}
    <h4>Can the fault hit a Pod as it is today?</h4>
    ${barChart({ caption: 'Pods by exposure', by: 'Exposure', unit: 'Pods' }, pods)}
  </article>`;
}

/**
 * Renders bars of one scale as a table, so that a screen reader gets each bar's label and number. Bars take the column's width,
 * so that the text keeps its size on a phone.
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

const sum = (segments: readonly Segment[]): number => segments.reduce((total, { value }) => total + value, 0);

/** Formats `value` as a percentage of `of`. Two decimals are finer than a pixel. */
const percent = (value: number, of: number): string => `${of === 0 ? 0 : Number(((value / of) * 100).toFixed(2))}%`;

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
