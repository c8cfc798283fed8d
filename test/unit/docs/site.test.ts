import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { addressOf, REPOSITORY, SITE_FILES, sitePath, slugify } from '../../../site/addresses.ts';
import { SIDEBAR } from '../../../site/sidebar.ts';
import { anchors, page } from './pages.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const pages = globSync(SITE_FILES, { cwd: ROOT }).filter((file) => file.endsWith('.md'));

describe('an address on the site', () => {
  it.each([
    ['docs/faq.md', 'doctor.md', 'doctor.md'],
    ['docs/faq.md', '../README.md#do-i-need-this', '../README.md#do-i-need-this'],
    ['docs/install.md', '../charts/libc-dns-webhook/README.md', '../charts/libc-dns-webhook/README.md'],
    ['docs/faq.md', '#do-i-need-this', '#do-i-need-this'],
    ['docs/faq.md', 'https://example.com/', 'https://example.com/'],
    ['docs/README.md', '../examples', `${REPOSITORY}/tree/main/examples`],
    ['docs/architecture.md', '../test/faults/', `${REPOSITORY}/tree/main/test/faults`],
    ['docs/evidence.md', 'lab.json', `${REPOSITORY}/blob/main/docs/lab.json`],
    ['README.md', 'LICENSE', `${REPOSITORY}/blob/main/LICENSE`],
    ['README.md', 'package.json#L5', `${REPOSITORY}/blob/main/package.json#L5`],
  ])('of a link in %s to %s', (from, link, address) => {
    expect(addressOf(from, link)).toBe(address);
  });

  it('that leads nowhere stays, so that the build refuses it', () => {
    expect(addressOf('docs/faq.md', 'gone.md')).toBe('gone.md');
    expect(addressOf('docs/faq.md', '../gone.txt')).toBe('../gone.txt');
  });

  it('has the anchors that GitHub has', () => {
    const headings = [
      '`failurePolicy: Fail`',
      'What grows, and how far',
      "The cluster's DNS",
      '-o json',
      'IPv6, and paths',
    ];
    expect(headings.map(slugify)).toEqual(anchors(headings.map((heading) => `# ${heading}`).join('\n')));
  });
});

describe('the sidebar', () => {
  const links = SIDEBAR.flatMap(({ items }) => items.map(({ link }) => link));

  it('has each page but single decisions, measurements and the way to report a flaw, once', () => {
    const addresses = pages
      .filter((file) => !/^(docs\/decisions\/\d|bench\/|test\/|SECURITY)/.test(file))
      .map((file) => `/${sitePath(file)}`.replace(/(index)?\.md$/, ''));
    expect(links.toSorted()).toEqual(addresses.toSorted());
  });
});

it('the index of decisions has each of them, by its title', () => {
  const index = page('docs/decisions/README.md');
  const files = globSync('docs/decisions/0*.md', { cwd: ROOT });
  const missing = files.filter(
    (file) => !index.includes(`[${/^# (.+)$/m.exec(page(file))?.[1]}](${file.slice('docs/decisions/'.length)})`),
  );
  expect(files.length).toBeGreaterThan(10);
  expect(missing).toEqual([]);
});
