import type { AuditReport, Gap, KernelEntry, KernelFix, SourcedText } from '../report/report.ts';
import { html, type Markup, NOTHING } from './markup.ts';
import type { Tone } from './page-data.ts';
import { shown } from './shown.ts';
import { number } from './words.ts';

const fact = (term: string, value: string, source: string, detail = ''): Markup =>
  html`<div>
    <dt>${term}</dt>
    <dd>
      <bdi>${shown(value) || 'none'}</bdi> <span class="note">${shown(detail)}</span>
      <span class="note source">${shown(source)}</span>
    </dd>
  </div>`;

const sourced = (term: string, { value, source }: SourcedText): Markup => fact(term, value, source);

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

/** The facts that decisions follow, where each is from, the nodes' kernels, and what could not be read. */
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
