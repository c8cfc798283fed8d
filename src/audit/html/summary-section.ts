import type { AuditReport, NeedVerdict } from '../report/report.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { shown } from './shown.ts';
import { counted, number } from './words.ts';

const BADGES: Readonly<Record<NeedVerdict['needed'], string>> = {
  yes: 'Needed',
  no: 'Not needed',
  perhaps: 'Perhaps needed',
};

const items = (texts: readonly string[]): Markup[] => texts.map((text) => html`<li>${shown(text, 2000)}</li>`);

function verdictBox({ needed, sentence, because, next }: NeedVerdict): Markup {
  const why =
    because.length === 0
      ? NOTHING
      : html`<div>
          <h3>Why</h3>
          <ul>
            ${items(because)}
          </ul>
        </div>`;
  const steps =
    next.length === 0
      ? NOTHING
      : html`<div class="next">
          <h3>What to do next</h3>
          <ol>
            ${items(next)}
          </ol>
        </div>`;
  return html`<div class="verdict need-${needed}">
    <p class="badge">${BADGES[needed]}</p>
    <h2 id="summary-title">${shown(sentence, 2000)}</h2>
    <div class="columns">${steps}${why}</div>
  </div>`;
}

interface Figure {
  readonly href: string;
  readonly value: number;
  readonly label: string;
  readonly note: string;
}

function imagesNote({ summary, images }: AuditReport): string {
  if (summary.unreadableImages > 0) return `${number(summary.unreadableImages)} could not be read`;
  const unknown = images.filter(({ resolver }) => resolver === 'unknown').length;
  return unknown === 0 ? 'the resolver of each is known' : `${number(unknown)} with a resolver that is not known`;
}

function figures(report: AuditReport): Figure[] {
  const { summary } = report;
  const { pods, exposure, findings, images } = summary;
  return [
    {
      href: '#workloads',
      value: exposure.yes,
      label: 'Pods exposed today',
      note: `${number(exposure.possible)} more possibly, of ${number(pods)}`,
    },
    {
      href: '#workloads',
      value: summary.podsThatWouldChange,
      label: 'Pods that would change',
      note: `${number(summary.podsPatched)} patched already`,
    },
    {
      href: '#findings',
      value: findings.error + findings.warning,
      label: 'Errors and warnings',
      note: `${counted(findings.error, 'error')}, ${counted(findings.warning, 'warning')}, ${number(findings.info)} more to know`,
    },
    {
      href: '#images',
      value: images,
      label: images === 1 ? 'Image' : 'Images',
      note: imagesNote(report),
    },
  ];
}

/** The answer first: is the product needed, what to do next, why, and four figures. */
export function summarySection(report: AuditReport): Markup {
  const tiles = figures(report).map(
    ({ href, value, label, note }) =>
      html`<li>
        <a href="${href}"
          ><span class="label">${label}</span><span class="value">${number(value)}</span
          ><span class="note">${note}</span></a
        >
      </li>`,
  );
  return html`<section id="summary" aria-labelledby="summary-title">
    ${verdictBox(report.verdict)}
    <ul class="figures">
      ${tiles}
    </ul>
  </section>`;
}
