import { REASONS } from '../../policy/reasons.ts';
import type { AuditReport, AuditSummary, KernelEntry, NamespaceEntry } from '../report/report.ts';
import { type Bar, barChart, legend, type Segment } from './chart.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import type { Tone } from './page-data.ts';
import { shown } from './shown.ts';
import { counted, EXPOSURE, number, remedyWords, RESOLVERS } from './words.ts';

/** More bars than this are read as a table. */
const MOST_BARS = 12;

/** A link to a table with one of its choices made; without the script it leads to the table. */
function choiceLink(table: string, column: string, value: string): Markup {
  return html`<a href="#${table}" data-column="${column}" data-value="${value}"><bdi>${value}</bdi></a>`;
}

const resolverSegments = (resolvers: NamespaceEntry['resolvers']): Segment[] =>
  RESOLVERS.map((resolver) => ({ label: resolver, tone: resolver, value: resolvers[resolver] }));

const containersOf = ({ resolvers }: NamespaceEntry): number =>
  Object.values(resolvers).reduce((total, count) => total + count, 0);

function namespaceCard({ namespaces, summary }: AuditReport): Markup {
  const largest = namespaces.toSorted((a, b) => containersOf(b) - containersOf(a)).slice(0, MOST_BARS);
  const bars: Bar[] = largest.map(({ name, resolvers }) => ({
    label: choiceLink('workloads', 'Namespace', shown(name)),
    segments: resolverSegments(resolvers),
  }));
  const total = RESOLVERS.map((resolver) => ({
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
      Containers, by what resolves names in them. glibc and Go obey resolv.conf options; musl ignores them.
    </p>
    ${legend(total)}${barChart({ caption: 'Containers by resolver', by: 'Namespace', unit: 'Containers' }, bars)}${more}
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

/** What is in the cluster, what would be done, and where the fault is possible, as bars. */
export function chartsSection(report: AuditReport): Markup {
  return html`<section id="charts" aria-labelledby="charts-title">
    <h2 id="charts-title">At a glance</h2>
    <div class="cards">${namespaceCard(report)}${remedyCard(report.summary)}${kernelCard(report)}</div>
  </section>`;
}
