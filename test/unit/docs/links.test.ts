import { existsSync, globSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { anchors, page } from './pages.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const PAGES = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
  'bench/results.md',
  ...globSync('test/*/results.md', { cwd: ROOT }),
];

/** Links of a page to files and chapters of this repository. */
const linksOf = (path: string): string[] =>
  [...page(path).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target));

function leadsNowhere(path: string, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? path : join(dirname(path), file);
  if (!existsSync(join(ROOT, target))) return true;
  return anchor !== undefined && target.endsWith('.md') && !anchors(page(target)).includes(anchor);
}

describe('links between pages', () => {
  it.each(PAGES)('of %s lead somewhere', (path) => {
    expect(linksOf(path).filter((link) => leadsNowhere(path, link))).toEqual([]);
  });
});
