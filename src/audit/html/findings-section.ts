import type { AuditReport, Finding } from '../report.ts';
import { html, type Markup } from './markup.ts';
import { shown, shownLines } from './shown.ts';
import { counted, SEVERITY } from './words.ts';

/** Findings of one code, in the report's order: the most severe code first. */
function byCode(findings: readonly Finding[]): Finding[][] {
  return [...Map.groupBy(findings, ({ code }) => code).values()];
}

function findingCard(findings: readonly Finding[]): Markup {
  const [first] = findings;
  if (first === undefined) return html``;
  const { code, severity, where, what, why, change } = first;
  const pods = findings.reduce((total, finding) => total + finding.where.pods, 0);
  const places = findings.length === 1 ? '' : ` For example:`;
  return html`<details class="finding">
    <summary>
      <span class="tag tone-${SEVERITY[severity]}">${severity}</span> <code>${code}</code
      ><span class="note">${counted(findings.length, 'place')}, ${counted(pods, 'Pod')}</span>
    </summary>
    <p class="where">${places} <bdi>${shown(`${where.kind} ${where.namespace}/${where.name}`)}</bdi></p>
    <dl>
      <div>
        <dt>What</dt>
        <dd>${shown(what, 2000)}</dd>
      </div>
      <div>
        <dt>Why it hurts</dt>
        <dd>${shown(why, 2000)}</dd>
      </div>
      <div>
        <dt>Change</dt>
        <dd><pre tabindex="0" role="region" aria-label="Change">${shownLines(change, 4000)}</pre></dd>
      </div>
    </dl>
  </details>`;
}

/** What is wrong today, by kind of fault with an example of each, and all places as a table. */
export function findingsSection({ findings }: AuditReport): Markup {
  if (findings.length === 0) {
    return html`<section id="findings" aria-labelledby="findings-title">
      <h2 id="findings-title">Settings that hurt</h2>
      <p>None: no Pod has a DNS setting that hurts its resolver.</p>
    </section>`;
  }
  return html`<section id="findings" aria-labelledby="findings-title">
    <h2 id="findings-title">Settings that hurt</h2>
    <p>What is wrong with Pods as they run today, why, and the change to make.</p>
    ${byCode(findings).map(findingCard)}
    <h3>Every place</h3>
    <div id="finding-table"></div>
  </section>`;
}
