import type { AuditReport, Finding } from '../report/report.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import { isCode, shown, shownLines } from './shown.ts';
import { tablePlace } from './table-place.ts';
import { counted, number, SEVERITY } from './words.ts';

function changeMarkup(change: string): Markup {
  const text = shownLines(change, 4000);
  return isCode(change) ? html`<pre tabindex="0" role="group" aria-label="Change">${text}</pre>` : html`<p>${text}</p>`;
}

/** What is the same for all findings of a code is said once; `what` and the change are those of the first place. */
function codeCard(findings: readonly Finding[]): Markup {
  const [first] = findings;
  if (first === undefined) return NOTHING;
  const { code, severity, where, what, why, change } = first;
  const pods = findings.reduce((total, finding) => total + finding.where.pods, 0);
  const all =
    findings.length === 1
      ? NOTHING
      : html`<a href="#findings-all" data-column="Finding" data-value="${shown(code)}"
          >Show all ${number(findings.length)}</a
        >`;
  return html`<article class="finding">
    <h3>
      <span class="tag tone-${SEVERITY[severity]}">${severity}</span> <code>${shown(code)}</code>
      <span class="note">${counted(findings.length, 'place')}, ${counted(pods, 'Pod')}</span>
    </h3>
    <dl>
      <div>
        <dt>${findings.length === 1 ? 'Where' : 'Where, for example'}</dt>
        <dd><bdi>${shown(`${where.kind} ${where.namespace}/${where.name}`)}</bdi>: ${shown(what, 2000)} ${all}</dd>
      </div>
      <div>
        <dt>Why it matters</dt>
        <dd>${shown(why, 2000)}</dd>
      </div>
    </dl>
    <dl>
      <div>
        <dt>Change to make</dt>
        <dd>${changeMarkup(change)}</dd>
      </div>
    </dl>
  </article>`;
}

/** What is wrong today: each kind of finding with its reason and an example, the most severe first, then all of them as a table. */
export function findingsSection({ findings }: AuditReport): Markup {
  const title = html`<h2 id="findings-title">Findings</h2>`;
  if (findings.length === 0) {
    return html`<section id="findings" aria-labelledby="findings-title">
      ${title}
      <p>None: no Pod has a DNS setting that hurts its resolver.</p>
    </section>`;
  }
  const codes = [...Map.groupBy(findings, ({ code }) => code).values()];
  return html`<section id="findings" aria-labelledby="findings-title">
    ${title}
    <p>Settings of Pods as they run today that hurt their resolvers, and the change to make.</p>
    ${codes.map(codeCard)}
    <h3 id="findings-all">All findings</h3>
    ${tablePlace('finding-table')}
  </section>`;
}
