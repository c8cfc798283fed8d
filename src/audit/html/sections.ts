import type { KernelEntry, KernelFix } from '../../exposure/kernels.ts';
import type {
  AcceptedFinding,
  AuditReport,
  Finding,
  Gap,
  NeedVerdict,
  SourcedText,
  UnreadableImage,
} from '../report/report.ts';
import { notLookedUp, type UnreadableGroup, unreadableGroups } from '../report/unreadable.ts';
import { instructionParts } from './instruction.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import type { Tone } from './page-data.ts';
import { tablePlace, workloadKey } from './tables.ts';
import { counted, isYaml, number, SEVERITY, shown, shownLines } from './text.ts';

/** Renders the answer first: whether the webhook is needed, what to do next and why, then four figures. */
export function summarySection(report: AuditReport): Markup {
  const tiles = figures(report).map(
    ({ href, value, label, note }) =>
      html`<li>
        <a href="${href}"
          ><span class="label">${label}</span
          ><span class="value">${typeof value === 'number' ? number(value) : value}</span
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
  /** Text if the number is not known. */
  readonly value: number | string;
  readonly label: string;
  readonly note: string;
}

function figures(report: AuditReport): Figure[] {
  const { summary, source } = report;
  const { pods, findings, images } = summary;
  return [
    exposedFigure(report),
    {
      href: '#workloads',
      value: summary.podsThatWouldChange,
      label: 'Pods that would change',
      note: source.kind === 'manifests' ? `of ${number(pods)}` : `${number(summary.podsPatched)} patched already`,
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

/** What is only possible is no 0. */
function exposedFigure({ summary: { exposure, pods } }: AuditReport): Figure {
  const { yes, possible } = exposure;
  const figure = { href: '#workloads', label: 'Pods exposed today' };
  if (yes === 0 && possible > 0) {
    return { ...figure, value: 'not known', note: `up to ${number(possible)} of ${number(pods)}` };
  }
  const more = possible === 0 ? '' : `${number(possible)} more possibly, `;
  return { ...figure, value: yes, note: `${more}of ${number(pods)}` };
}

function imagesNote({ summary, images }: AuditReport): string {
  const skipped = notLookedUp(images);
  if (skipped > 0) return `${number(skipped)} not looked up`;
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
          <h3>What to do, first things first</h3>
          <ol>
            ${next.map((text) => html`<li>${instruction(shown(text, 2000))}</li>`)}
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

/** Renders an instruction; the page's script adds a button to each command that copies it. */
const instruction = (text: string): Markup[] =>
  instructionParts(text).map((part) =>
    part.isCommand ? html`<code class="command">${part.text}</code>` : html`${part.text}`,
  );

/** Renders the findings: each code with its reason and an example, the most severe first, then all as a table. */
export function findingsSection(report: AuditReport): Markup {
  const { findings } = report;
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
    ${codes.map((some) => codeCard(some, report))}
    <h3 id="findings-all">Workloads with findings</h3>
    ${tablePlace('finding-table')}
  </section>`;
}

/** Accepted findings that are shown; `-o json` has all. */
const MOST_ACCEPTED = 200;

/** Renders the findings that somebody accepts, which no total counts. Nothing if there are none. */
export function acceptedSection({ accepted }: AuditReport): Markup {
  if (accepted.length === 0) return NOTHING;
  const more = accepted.length - MOST_ACCEPTED;
  return html`<section id="accepted" aria-labelledby="accepted-title">
    <h2 id="accepted-title">Accepted findings</h2>
    <p>
      ${counted(accepted.length, 'finding')} accepted with a reason (--accept). They count in no total of this report.
    </p>
    <ul>
      ${accepted.slice(0, MOST_ACCEPTED).map(acceptedItem)}
    </ul>
    ${more > 0 ? html`<p>${number(more)} more are left out here.</p>` : NOTHING}
  </section>`;
}

function acceptedItem({ finding: { code, where }, reason, expires }: AcceptedFinding): Markup {
  return html`<li>
    <code>${shown(code)}</code> <bdi>${shown(`${where.kind} ${where.namespace}/${where.name}`)}</bdi>:
    ${shown(reason, 2000)}
    <span class="note">${expires === null ? 'never expires' : `expires after ${shown(expires)}`}</span>
  </li>`;
}

/** Renders all findings of one code as a card; `what` and the change are taken from the first finding as an example. */
function codeCard(findings: readonly Finding[], report: AuditReport): Markup {
  const [first] = findings;
  if (first === undefined) return NOTHING;
  const { code, severity, where, what, why, change } = first;
  // Each Pod once, however many of its containers have the finding.
  const affected = report.workloads.filter((workload) => workload.findings.includes(code));
  const pods = affected.reduce((total, workload) => total + workload.pods, 0);
  const workloads = new Set(findings.map((finding) => workloadKey(finding.where))).size;
  const all =
    workloads === 1
      ? NOTHING
      : html`<a href="#findings-all" data-column="Finding" data-value="${shown(code)}"
          >Show all ${number(workloads)}</a
        >`;
  return html`<article class="finding">
    <h3>
      <span class="tag tone-${SEVERITY[severity]}">${severity}</span> <code>${shown(code)}</code>
      <span class="note">${counted(workloads, 'workload')}, ${counted(pods, 'Pod')}</span>
    </h3>
    <dl>
      <div>
        <dt>${workloads === 1 ? 'Where' : 'Where, for example'}</dt>
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
  return isYaml(text)
    ? html`<pre class="command" tabindex="0" role="group" aria-label="Change">${text}</pre>`
    : html`<p>${instruction(text)}</p>`;
}

/** Images named of one group; the table of images has all. */
const MOST_IMAGES = 10;

/** Renders the images that could not be read, by registry and cause, each with one advice. Nothing if all were read. */
export function unreadableSection(report: AuditReport): Markup {
  const groups = unreadableGroups(report);
  if (groups.length === 0) return NOTHING;
  return html`<section id="unreadable" aria-labelledby="unreadable-title">
    <h2 id="unreadable-title">Images that could not be read</h2>
    <p>Their resolvers are unknown. Advice is by registry and cause; what most Pods need comes first.</p>
    ${groups.map(unreadableCard)}
  </section>`;
}

function unreadableCard({ registry, code, grant, images, pods }: UnreadableGroup): Markup {
  const names = images.slice(0, MOST_IMAGES).map(({ image }) => html`<li><bdi>${shown(image)}</bdi></li>`);
  const more = images.length - names.length;
  return html`<article class="finding">
    <h3>
      <span class="tag tone-notice">${shown(code)}</span> <code><bdi>${shown(registry)}</bdi></code>
      <span class="note">${counted(images.length, 'image')}, ${counted(pods, 'Pod')}</span>
    </h3>
    <dl>
      <div>
        <dt>What to do</dt>
        <dd>${instruction(shown(grant, 2000))}</dd>
      </div>
      ${messageOf(images)}
    </dl>
    <dl>
      <div>
        <dt>Images</dt>
        <dd>
          <ul class="names">
            ${names}
          </ul>
          ${more > 0 ? html`<span class="note">and ${number(more)} more, in the <a href="#images" data-column="Look-up" data-value="${shown(code)}">table</a></span>` : NOTHING}
        </dd>
      </div>
    </dl>
  </article>`;
}

const messageOf = ([first, ...others]: readonly UnreadableImage[]): Markup =>
  first === undefined
    ? NOTHING
    : html`<div>
        <dt>${others.length === 0 ? 'The message' : 'The message, for example'}</dt>
        <dd>${shown(first.message, 2000)}</dd>
      </div>`;

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
