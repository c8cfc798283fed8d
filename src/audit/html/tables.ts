import { type Candidate, resolversOf } from '../../policy/verdict.ts';
import { REASONS } from '../../policy/reasons.ts';
import { mostExposedFirst } from '../report/inventory.ts';
import type {
  AuditReport,
  ContainerEntry,
  Finding,
  ImageEntry,
  NamespaceEntry,
  Severity,
  UnreadableImage,
  WorkloadEntry,
} from '../report/report.ts';
import { html, type Markup } from './markup.ts';
import type { PageDetail, PageRow, PageTable, Tag } from './page-data.ts';
import {
  changeYaml,
  counted,
  EXPOSURE,
  isYaml,
  number,
  remedyWords,
  resolvConfDiff,
  RESOLVERS,
  SEVERITY,
  shown,
  shownLines,
} from './text.ts';

/** Namespaces listed of one image, which may be in thousands. */
const MOST_NAMESPACES = 20;

function namespaceText(namespaces: readonly string[]): string {
  const some = namespaces.slice(0, MOST_NAMESPACES).map((name) => shown(name, 200));
  const more = namespaces.length - some.length;
  return some.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function imageDetails(entry: ImageEntry, grant: string | undefined): PageDetail[] {
  const { evidence, resolvers, error, digest, executable, platform, libc, namespaces } = entry;
  const list: PageDetail[] = [];
  if (error) list.push({ term: 'Could not be read', text: `${shown(error.code)}: ${shown(error.message, 2000)}` });
  if (grant !== undefined) list.push({ term: 'What to do', text: shown(grant, 2000), code: 'instruction' });
  list.push(
    {
      term: 'Evidence',
      text: `${shown(evidence.detail, 2000)} (${evidenceText(evidence)})`,
    },
    ...(resolvers.length > 1 ? [{ term: 'May run', text: resolvers.map(candidateText).join(' ') }] : []),
    { term: 'Program', text: executable === null ? 'not known' : shown(executable) },
    { term: 'Linked to', text: libc },
    { term: 'Platform', text: shown(platform) },
    { term: 'Digest', text: digest === null ? 'not known' : shown(digest) },
    { term: 'Namespaces', text: namespaceText(namespaces) },
  );
  return list;
}

/** Without evidence there is no confidence: that is not 0. */
const evidenceText = ({ source, confidence }: ImageEntry['evidence']): string =>
  source === 'none' ? 'no evidence' : `${shown(source)}, confidence ${confidence}`;

/** An unknown resolver without an error means that the image was not looked into, not that it was read. */
function lookUpTag({ error, resolver }: ImageEntry): Tag {
  if (error?.code === 'disabled') return { text: 'not looked up', tone: 'notice' };
  if (error !== null) return { text: shown(error.code), tone: 'bad' };
  return resolver === 'unknown' ? { text: 'not known', tone: 'notice' } : { text: 'read', tone: 'quiet' };
}

function imageRow(entry: ImageEntry, grants: ReadonlyMap<string, string>): PageRow {
  const { image, platform, evidence, error, pods, workloads } = entry;
  return {
    cells: [
      shown(image),
      resolverTags([entry]),
      shown(evidence.source),
      evidence.source === 'none' ? '' : evidence.confidence,
      workloads,
      pods,
      [lookUpTag(entry)],
    ],
    details: imageDetails(entry, error === null ? undefined : grants.get(imageKey({ image, platform }))),
  };
}

const imageKey = ({ image, platform }: Pick<UnreadableImage, 'image' | 'platform'>): string => `${platform} ${image}`;

/** Returns the table of images: resolver, evidence, and what to grant if an image could not be read. */
export function imageTable({ images, unreadable }: AuditReport): PageTable {
  const grants = new Map(unreadable.map((entry) => [imageKey(entry), entry.grant]));
  return {
    id: 'image-table',
    noun: ['image', 'images'],
    columns: [
      { label: 'Image', kind: 'text' },
      { label: 'Resolver', kind: 'tags', choice: true },
      { label: 'Evidence', kind: 'text', choice: true },
      { label: 'Confidence', kind: 'number' },
      { label: 'Workloads', kind: 'number' },
      { label: 'Pods', kind: 'number' },
      { label: 'Look-up', kind: 'tags', choice: true },
    ],
    rows: images.map((entry) => imageRow(entry, grants)),
  };
}

const listed = (counts: readonly (readonly [string, number])[]): string =>
  counts
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${number(count)}`)
    .join(', ') || 'none';

function namespaceRow(entry: NamespaceEntry): PageRow {
  const { name, mode, reason, workloads, pods, podsThatWouldChange, resolvers, exposure, findings } = entry;
  const used = RESOLVERS.filter((resolver) => resolvers[resolver] > 0);
  return {
    cells: [
      shown(name),
      mode,
      workloads,
      pods,
      exposure.yes === 0 && exposure.possible > 0 ? `up to ${number(exposure.possible)}` : exposure.yes,
      podsThatWouldChange,
      used.map((resolver) => ({ text: resolver, tone: resolver })),
      findings.error + findings.warning + findings.info,
    ],
    details: [
      ...(reason === null ? [] : [{ term: 'Mode', text: `${shown(reason)}: ${REASONS[reason] ?? ''}` }]),
      { term: 'Containers', text: listed(RESOLVERS.map((resolver) => [resolver, resolvers[resolver]])) },
      {
        term: 'Pods today',
        text: listed([
          ['exposed', exposure.yes],
          ['possibly exposed', exposure.possible],
          ['mitigated', exposure.mitigated],
          ['not exposed', exposure.no],
        ]),
      },
      { term: 'Findings', text: listed(Object.entries(findings)) },
    ],
  };
}

/** Returns the table of namespaces: mode, contents and exposure. */
export const namespaceTable = ({ namespaces }: AuditReport): PageTable => ({
  id: 'namespace-table',
  noun: ['namespace', 'namespaces'],
  columns: [
    { label: 'Namespace', kind: 'text' },
    { label: 'Mode', kind: 'text', choice: true },
    { label: 'Workloads', kind: 'number' },
    { label: 'Pods', kind: 'number' },
    { label: 'Exposed Pods', kind: 'number' },
    { label: 'Would change', kind: 'number' },
    { label: 'Resolver', kind: 'tags', choice: true },
    { label: 'Findings', kind: 'number' },
  ],
  rows: namespaces.map(namespaceRow),
});

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'info'];

/** Returns the row of a workload. Its Pods count once, whatever is wrong with them. */
function findingRow(findings: readonly Finding[], pods: number): PageRow {
  const { name = '', kind = '', namespace = '' } = findings[0]?.where ?? {};
  const severities = new Set(findings.map(({ severity }) => severity));
  const codes = [...new Set(findings.map(({ code }) => code))];
  return {
    cells: [
      shown(name),
      shown(kind),
      shown(namespace),
      pods,
      SEVERITIES.filter((one) => severities.has(one)).map((one) => ({ text: one, tone: SEVERITY[one] })),
      codes.map((code) => ({ text: shown(code), tone: 'quiet' })),
    ],
    details: findings.flatMap(findingDetails),
  };
}

function findingDetails({ code, where: { container }, what, why, change }: Finding): PageDetail[] {
  const place = container === null ? '' : `, container ${shown(container, 200)}`;
  const text = shownLines(change, 4000);
  return [
    { term: `${shown(code)}${place}`, text: `${shown(what, 2000)} ${shown(why, 2000)}` },
    { term: 'Change to make', text, code: isYaml(text) ? 'plain' : 'instruction' },
  ];
}

/** A key for a workload, whose Pods may stand in several entries. */
export const workloadKey = ({ namespace, kind, name }: Finding['where'] | WorkloadEntry): string =>
  JSON.stringify([namespace, kind, name]);

/** Returns the table of workloads with findings, each with all of its findings and the changes to make. */
export function findingTable({ findings, workloads }: AuditReport): PageTable {
  const pods = new Map<string, number>();
  for (const workload of workloads) {
    if (workload.findings.length > 0)
      pods.set(workloadKey(workload), (pods.get(workloadKey(workload)) ?? 0) + workload.pods);
  }
  const byWorkload = Map.groupBy(findings, ({ where }) => workloadKey(where));
  return {
    id: 'finding-table',
    noun: ['affected workload', 'affected workloads'],
    columns: [
      { label: 'Workload', kind: 'text' },
      { label: 'Kind', kind: 'text' },
      { label: 'Namespace', kind: 'text', choice: true },
      { label: 'Pods', kind: 'number' },
      { label: 'Severity', kind: 'tags', choice: true },
      { label: 'Finding', kind: 'tags', choice: true },
    ],
    rows: [...byWorkload].map(([workload, some]) => findingRow(some, pods.get(workload) ?? 0)),
  };
}

const containerDetail = ({ name, image, resolvers }: ContainerEntry): PageDetail => ({
  term: `Container ${shown(name, 200)}`,
  text: `${shown(image)}: ${resolvers.map(candidateText).join(' ')}`,
});

const candidateText = ({ resolver, libc, evidence }: Candidate): string =>
  `${resolver}${libc === resolver ? '' : `, linked to ${libc}`}. ${shown(evidence.detail)} (${evidenceText(evidence)})`;

function resolverTags(containers: readonly Pick<ContainerEntry, 'resolver' | 'resolvers'>[]): Tag[] {
  const found = new Set(containers.flatMap(resolversOf));
  return RESOLVERS.filter((resolver) => found.has(resolver)).map((resolver) => ({ text: resolver, tone: resolver }));
}

const remedyTag = (remedy: readonly string[]): Tag =>
  remedy.length === 0
    ? { text: remedyWords('none'), tone: 'quiet' }
    : { text: shown(remedyWords(remedy.toSorted().join('+'))), tone: 'good' };

function modeText({ mode, modeReason }: WorkloadEntry): string {
  return modeReason === null ? mode : `${mode} (${shown(modeReason)})`;
}

function changeDetails({ decision, resolvConf }: WorkloadEntry): PageDetail[] {
  const { change } = decision;
  if (change === null) return [];
  return [
    {
      term: 'resolv.conf',
      text: shownLines(resolvConfDiff(resolvConf.before, resolvConf.after), 4000),
      code: 'diff',
    },
    { term: 'The change, in the spec of the Pod', text: shownLines(changeYaml(change)), code: 'plain' },
  ];
}

function podsText({ pods, podNames, nodes }: WorkloadEntry): string {
  const names = podNames.map((name) => shown(name, 200)).join(', ');
  const more = pods > podNames.length && podNames.length > 0 ? ', …' : '';
  const where = nodes === 0 ? 'no node yet' : `on ${counted(nodes, 'node')}`;
  return names === '' ? counted(pods, 'Pod') : `${names}${more}, ${where}`;
}

function workloadDetails(workload: WorkloadEntry): PageDetail[] {
  const { decision, exposure, applied, findings, containers } = workload;
  const list: PageDetail[] = [
    { term: 'Decision', text: `${shown(decision.reason)}: ${shown(decision.message, 2000)}` },
    { term: 'Today', text: shown(exposure.detail, 2000) },
    ...containers.map(containerDetail),
    ...changeDetails(workload),
    { term: 'Mode', text: modeText(workload) },
    { term: 'Pods', text: podsText(workload) },
  ];
  if (applied)
    list.push({
      term: 'Done by the webhook',
      text: shown(`${applied.reason}: ${applied.remedy.join(', ') || 'nothing'}`),
    });
  if (findings.length > 0) list.push({ term: 'Findings', text: shown(findings.join(', ')) });
  return list;
}

function workloadRow(workload: WorkloadEntry): PageRow {
  const { kind, namespace, name, pods, containers, exposure, decision, findings } = workload;
  return {
    cells: [
      shown(name),
      shown(kind),
      shown(namespace),
      pods,
      resolverTags(containers),
      [EXPOSURE[exposure.level]],
      [remedyTag(decision.remedy)],
      findings.length,
    ],
    details: workloadDetails(workload),
  };
}

/** Returns the table of workloads: resolvers, exposure, and the webhook's decision with its reason. */
export const workloadTable = ({ workloads }: AuditReport): PageTable => ({
  id: 'workload-table',
  noun: ['workload', 'workloads'],
  columns: [
    { label: 'Workload', kind: 'text' },
    { label: 'Kind', kind: 'text' },
    { label: 'Namespace', kind: 'text', choice: true },
    { label: 'Pods', kind: 'number' },
    { label: 'Resolver', kind: 'tags', choice: true },
    { label: 'Exposure', kind: 'tags', choice: true },
    { label: 'Remedy', kind: 'tags', choice: true },
    { label: 'Findings', kind: 'number' },
  ],
  rows: mostExposedFirst(workloads).map(workloadRow),
});

/**
 * Returns the element that the script replaces with a table. It is no `<noscript>`, because viewers that block scripts
 * (mail programs, ticket systems) do not show that.
 */
export const tablePlace = (id: string): Markup =>
  html`<div id="${id}" class="note">
    This table needs JavaScript. Without: <code>libc-dns audit -o markdown</code>, or <code>-o json</code>.
  </div>`;
