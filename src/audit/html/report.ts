import { createHash } from 'node:crypto';

import type { AuditReport, AuditSource } from '../report/report.ts';
import { notLookedUp } from '../report/unreadable.ts';
import { chartsSection } from './charts.ts';
import { embeddedJson, html, type Markup, NOTHING, trusted } from './markup.ts';
import assets from './page-assets.json' with { type: 'json' };
import type { PageData } from './page-data.ts';
import { acceptedSection, clusterSection, findingsSection, summarySection, unreadableSection } from './sections.ts';
import { findingTable, imageTable, namespaceTable, tablePlace, workloadTable } from './tables.ts';
import { counted, number, shown } from './text.ts';

const STYLE = assets.style.join('\n');
const SCRIPT = assets.script.join('\n');

// Outside the html templates: the policy's hashes cover every byte, and a formatter would change the whitespace.
const STYLE_ELEMENT = trusted(`<style>${STYLE}</style>`);
const SCRIPT_ELEMENT = trusted(`<script>${SCRIPT}</script>`);
const dataElement = (data: PageData): Markup =>
  trusted(`<script type="application/json" id="data">${embeddedJson(data)}</script>`);

const sha256 = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Allows only this style and this script. Nothing is loaded, sent or framed, and no string becomes HTML or a script. */
const POLICY = [
  "default-src 'none'",
  `style-src ${sha256(STYLE)}`,
  `script-src ${sha256(SCRIPT)}`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const tableSection = (id: string, title: string, text: string, table: string): Markup =>
  html`<section id="${id}" aria-labelledby="${id}-title">
    <h2 id="${id}-title">${title}</h2>
    <p>${text}</p>
    ${tablePlace(table)}
  </section>`;

function sourceText({ kind, server, namespaces, files }: AuditSource): string {
  if (kind === 'manifests') return files.length === 0 ? 'manifests' : files.join(', ');
  const part = namespaces.length === 0 ? '' : `, ${counted(namespaces.length, 'namespace')}: ${namespaces.join(', ')}`;
  return `${server}${part}`;
}

function header({ source, generatedAt, version }: AuditReport): Markup {
  return html`<a class="skip" href="#summary">Skip to the summary</a>
    <header>
      <div>
        <h1>DNS audit of <bdi>${shown(sourceText(source))}</bdi></h1>
        <p class="note">
          libc-dns-webhook ${shown(version)} ·
          <time datetime="${shown(generatedAt)}"
            >${shown(generatedAt.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC'))}</time
          >
        </p>
      </div>
      <button type="button" id="theme" hidden></button>
    </header>`;
}

function navigation({ findings, accepted, unreadable, workloads, images, namespaces }: AuditReport): Markup {
  return html`<nav aria-label="Sections">
    <ul>
      <li><a href="#summary">Summary</a></li>
      <li><a href="#charts">At a glance</a></li>
      <li>
        <a href="#findings">Findings <span>${number(findings.length)}</span></a>
      </li>
      ${
        accepted.length === 0
          ? NOTHING
          : html`<li>
              <a href="#accepted">Accepted <span>${number(accepted.length)}</span></a>
            </li>`
      }
      ${
        unreadable.length === 0
          ? NOTHING
          : html`<li>
              <a href="#unreadable">Unread images <span>${number(unreadable.length)}</span></a>
            </li>`
      }
      <li>
        <a href="#workloads">Workloads <span>${number(workloads.length)}</span></a>
      </li>
      <li>
        <a href="#images">Images <span>${number(images.length)}</span></a>
      </li>
      <li>
        <a href="#namespaces">Namespaces <span>${number(namespaces.length)}</span></a>
      </li>
      <li><a href="#cluster">Cluster</a></li>
    </ul>
  </nav>`;
}

function imagesText({ images }: AuditReport): string {
  const text =
    'Which resolver is in each image, and how that is known. Open one that could not be read for what to do.';
  const skipped = notLookedUp(images);
  if (skipped === 0) return text;
  const were = `${counted(skipped, 'image was', 'images were')} not looked up, because registries may not be asked`;
  return `${text} ${were} (--offline, or detection.registry.enabled: false).`;
}

function body(report: AuditReport): Markup {
  return html`${header(report)}${navigation(report)}
    <main>
      ${summarySection(report)}${chartsSection(report)}${findingsSection(report)}${acceptedSection(report)}${unreadableSection(report)}
      ${tableSection('workloads', 'Workloads', 'The most exposed first. Open one for its evidence, its resolv.conf before and after, and the change. Pods of one workload that differ stand apart.', 'workload-table')}
      ${tableSection('images', 'Images', imagesText(report), 'image-table')}
      ${tableSection('namespaces', 'Namespaces', 'What the webhook would do today: the mode of a Pod without a label of its own.', 'namespace-table')}
      ${clusterSection(report)}
    </main>
    <footer>
      <p>
        libc-dns-webhook ${shown(report.version)} · configuration: ${shown(report.source.configuration)} ·
        ${shown(report.apiVersion)} · this file holds all it needs and loads nothing
      </p>
    </footer>`;
}

/**
 * Renders the report as one HTML file that works without a network. Summary and charts are markup; a script builds the tables
 * from JSON. Untrusted text is escaped and shortened, and its control and direction characters are made visible. Deterministic.
 */
export function htmlReport(report: AuditReport): string {
  const tables = report.findings.length === 0 ? [] : [findingTable(report)];
  const data: PageData = { tables: [...tables, workloadTable(report), imageTable(report), namespaceTable(report)] };
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${POLICY}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>DNS audit of ${shown(sourceText(report.source), 100)}, libc-dns-webhook ${shown(report.version)}</title>
        <link rel="icon" href="data:," />
        ${STYLE_ELEMENT}
      </head>
      <body>
        ${body(report)} ${dataElement(data)}${SCRIPT_ELEMENT}
      </body>
    </html> `.markup;
}
