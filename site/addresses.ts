import { existsSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';

/** The repository, and the copies of its pages that the site is built from (copy-pages.ts). */
const ROOT = join(import.meta.dirname, '..');
export const PAGES = join(import.meta.dirname, 'pages');

export const REPOSITORY = 'https://github.com/libc-dns/libc-dns-webhook';

/** Files of the repository that become pages or pictures of the site. */
export const SITE_FILES = [
  '*.md',
  'docs/**/*.{md,svg,png}',
  'bench/*.md',
  'test/*/results.md',
  'certs/*.md',
  'charts/*/README.md',
];

/**
 * Returns the address of a link of a page (`docs/faq.md`): as it is for pages of the site, and for what is not there, which the build
 * refuses; else the file or folder on GitHub.
 */
export function addressOf(page: string, link: string): string {
  if (/^([a-z]+:|#|\/)/.test(link)) return link;
  const [path = '', anchor] = link.split('#');
  const target = posix.join(posix.dirname(page), path).replace(/\/$/, '');
  const isPage = SITE_FILES.some((pattern) => posix.matchesGlob(target, pattern)) && target.endsWith('.md');
  if (isPage || !existsSync(join(ROOT, target))) return link;
  const kind = statSync(join(ROOT, target)).isDirectory() ? 'tree' : 'blob';
  return `${REPOSITORY}/${kind}/main/${target}${anchor === undefined ? '' : `#${anchor}`}`;
}

/** Returns the anchor of a heading as GitHub makes it, so that a link works there and here. */
export const slugify = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');

/** Returns the path of the page that the site has for a file: README.md is what GitHub shows of a folder, index.md what a web server does. */
export const sitePath = (file: string): string => file.replace(/(^|\/)README\.md$/, '$1index.md');
