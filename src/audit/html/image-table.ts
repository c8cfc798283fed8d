import type { AuditReport, ImageEntry, UnreadableImage } from '../report/report.ts';
import type { PageDetail, PageRow, PageTable, Tag } from './page-data.ts';
import { shown } from './shown.ts';

/** An image may be in thousands of namespaces; a reader wants to see some. */
const SOME_NAMESPACES = 20;

function namespaceText(namespaces: readonly string[]): string {
  const some = namespaces.slice(0, SOME_NAMESPACES).map((name) => shown(name, 200));
  const more = namespaces.length - some.length;
  return some.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function details(entry: ImageEntry, grant: string | undefined): PageDetail[] {
  const { evidence, error, digest, executable, platform, libc, namespaces } = entry;
  const list: PageDetail[] = [];
  if (error) list.push({ term: 'Could not be read', text: `${shown(error.code)}: ${shown(error.message, 2000)}` });
  if (grant !== undefined) list.push({ term: 'What to grant', text: shown(grant, 2000) });
  list.push(
    {
      term: 'Evidence',
      text: `${shown(evidence.detail, 2000)} (${shown(evidence.source)}, confidence ${evidence.confidence})`,
    },
    { term: 'Program', text: executable === null ? 'not known' : shown(executable) },
    { term: 'Linked to', text: libc },
    { term: 'Platform', text: shown(platform) },
    { term: 'Digest', text: digest === null ? 'not known' : shown(digest) },
    { term: 'Namespaces', text: namespaceText(namespaces) },
  );
  return list;
}

/** Without an error nothing is wrong, but an image that nobody was allowed to look into has not been read. */
function lookUp({ error, resolver }: ImageEntry): Tag {
  if (error !== null) return { text: shown(error.code), tone: 'bad' };
  return resolver === 'unknown' ? { text: 'not known', tone: 'notice' } : { text: 'read', tone: 'quiet' };
}

function row(entry: ImageEntry, grants: ReadonlyMap<string, string>): PageRow {
  const { image, platform, resolver, evidence, error, pods, workloads } = entry;
  return {
    cells: [
      shown(image),
      [{ text: resolver, tone: resolver }],
      shown(evidence.source),
      evidence.confidence,
      workloads,
      pods,
      [lookUp(entry)],
    ],
    details: details(entry, error === null ? undefined : grants.get(imageKey({ image, platform }))),
  };
}

const imageKey = ({ image, platform }: Pick<UnreadableImage, 'image' | 'platform'>): string => `${platform} ${image}`;

/** Every image: its resolver, and from what it is known; what to grant where it could not be read. */
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
    rows: images.map((entry) => row(entry, grants)),
  };
}
