import type { KernelEntry, KernelFix } from '../../exposure/kernels.ts';
import type { AuditReport, Finding, Gap, NeedVerdict, SourcedText } from '../report/report.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import type { Tone } from './page-data.ts';
import { tablePlace } from './tables.ts';
import { counted, isCode, number, SEVERITY, shown, shownLines } from './text.ts';

/** Renders the answer first: whether the webhook is needed, what to do next and why, then four figures. */
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

interface Figure {
  readonly href: string;
  readonly value: number;
  readonly label: string;
  readonly note: string;
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

function imagesNote({ summary, images }: AuditReport): string {
  if (summary.unreadableImages > 0) return `${number(summary.unreadableImages)} could not be read`;
  const unknown = images.filter(({ resolver }) => resolver === 'unknown').length;
  return unknown === 0 ? 'the resolver of each is known' : `${number(unknown)} with a resolver that is not known`;
}

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

const BADGES: Readonly<Record<NeedVerdict['needed'], string>> = {
  yes: 'Needed',
  no: 'Not needed',
  perhaps: 'Perhaps needed',
};

const items = (texts: readonly string[]): Markup[] => texts.map((text) => html`<li>${shown(text, 2000)}</li>`);

/** Renders the findings: each code with its reason and an example, the most severe first, then all as a table. */
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

/** Renders all findings of one code as a card; `what` and the change are taken from the first finding as an example. */
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

function changeMarkup(change: string): Markup {
  const text = shownLines(change, 4000);
  return isCode(change) ? html`<pre tabindex="0" role="group" aria-label="Change">${text}</pre>` : html`<p>${text}</p>`;
}

/** Renders the facts that decisions follow with their sources, the nodes' kernels, and what could not be read. */
export function clusterSection({ cluster, kernels, gaps }: AuditReport): Markup {
  const { dns, domain, nodeSearches, dnsOverTcp, nodeLocal, kubeProxy } = cluster;
  return html`<section id="cluster" aria-labelledby="cluster-title">
    <h2 id="cluster-title">Cluster</h2>
    <dl class="facts">
      ${sourced('Cluster DNS', dns)}${sourced('Cluster domain', domain)}${sourced('Search domains of the nodes', nodeSearches)}
      <div>
        <dt>Cluster DNS over TCP</dt>
        <dd>${dnsOverTcp}</dd>
      </div>
      ${fact('Node-local DNS cache', nodeLocal.state, nodeLocal.source, nodeLocal.detail)}
      ${fact('kube-proxy', kubeProxy.mode, kubeProxy.source, kubeProxy.detail)}
    </dl>
    <h3>Kernels</h3>
    ${kernelTable(kernels)}${gapList(gaps)}
  </section>`;
}

const fact = (term: string, value: string, source: string, detail = ''): Markup =>
  html`<div>
    <dt>${term}</dt>
    <dd>
      <bdi>${shown(value) || 'none'}</bdi> <span class="note">${shown(detail)}</span>
      <span class="note source">${shown(source)}</span>
    </dd>
  </div>`;

const sourced = (term: string, { value, source }: SourcedText): Markup => fact(term, value, source);

function kernelTable(kernels: readonly KernelEntry[]): Markup {
  if (kernels.length === 0) return html`<p>No nodes were read.</p>`;
  return html`<table class="static">
    <caption class="hidden">
      Kernels and the fixes of the race
    </caption>
    <thead>
      <tr>
        <th scope="col">Kernel</th>
        <th scope="col" class="number">Nodes</th>
        <th scope="col" class="number">Pods</th>
        <th scope="col">Fixes of the race, by what the kernel has not decided when two packets come</th>
      </tr>
    </thead>
    <tbody>
      ${kernels.map(kernelRow)}
    </tbody>
  </table>`;
}

function kernelRow({ kernel, osImage, nodes, nodeNames, pods, fixes, detail }: KernelEntry): Markup {
  const names = nodeNames.map((name) => shown(name)).join(', ') + (nodes > nodeNames.length ? ', …' : '');
  return html`<tr>
    <th scope="row">
      <bdi>${shown(kernel)}</bdi><span class="note">${shown(osImage)}</span> <span class="note">${shown(detail)}</span>
    </th>
    <td class="number" data-label="Nodes">${number(nodes)}<span class="note">${names}</span></td>
    <td class="number" data-label="Pods">${number(pods)}</td>
    <td data-label="Fixes">
      <ul class="fixes">
        ${fixes.map(fixItem)}
      </ul>
    </td>
  </tr>`;
}

const FIX_TONES: Readonly<Record<KernelFix['state'], Tone>> = {
  present: 'good',
  partial: 'notice',
  missing: 'bad',
  unknown: 'notice',
};

function fixItem({ state, how, since, commit, onlyWithNfqueue }: KernelFix): Markup {
  const only = onlyWithNfqueue ? ' Only where NFQUEUE is used.' : '';
  return html`<li>
    <span class="tag tone-${FIX_TONES[state]}">${state}</span>${shown(how)}
    <span class="note">Linux ${shown(since)}${commit === null ? '' : `, ${shown(commit)}`}.${only}</span>
  </li>`;
}

function gapList(gaps: readonly Gap[]): Markup {
  if (gaps.length === 0) return NOTHING;
  const rows = gaps.map(
    ({ what, message, grant }) =>
      html`<div>
        <dt>${shown(what)}</dt>
        <dd>${shown(message, 2000)}<span class="note source">To grant: ${shown(grant, 2000)}</span></dd>
      </div>`,
  );
  return html`<h3>What could not be read</h3>
    <p>Parts of this report are missing or guessed because of it.</p>
    <dl class="facts">${rows}</dl>`;
}
