// Makes the pictures of the documentation from real runs: `npm run pictures`.
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import type { Browser, BrowserContextOptions } from 'playwright-core';

import { hasChromium, openBrowser } from '../browser/chromium.ts';
import { hasCluster } from '../support/cluster.ts';
import { startScene } from './scene.ts';

const FOLDER = fileURLToPath(new URL('../../docs/pictures/', import.meta.url));

/** Bytes: a page with several of them has to load quickly. */
const LARGEST = 200_000;

interface Picture {
  readonly name: string;
  readonly context: BrowserContextOptions;
  /** A selector to scroll to; absent: the top. */
  readonly at?: string;
}

const DESKTOP = { width: 1440, height: 900 };

const PICTURES: readonly Picture[] = [
  { name: 'audit-report', context: { viewport: DESKTOP } },
  { name: 'audit-report-workloads', context: { viewport: DESKTOP }, at: '#workloads' },
  { name: 'audit-report-unread-images', context: { viewport: DESKTOP, colorScheme: 'dark' }, at: '#unreadable' },
  { name: 'audit-report-phone', context: { viewport: { width: 390, height: 844 } } },
];

/** Takes a picture of a page. Throws if it is larger than {@link LARGEST}. */
async function take(browser: Browser, page: string, { name, context, at }: Picture): Promise<void> {
  const opened = await browser.newContext(context);
  try {
    const shown = await opened.newPage();
    await shown.goto(pathToFileURL(page).href);
    if (at !== undefined) await shown.locator(at).evaluate((element) => element.scrollIntoView());
    const path = join(FOLDER, `${name}.png`);
    await shown.screenshot({ path });
    const { size } = await stat(path);
    console.log(`docs/pictures/${name}.png  ${Math.round(size / 1000)} kB`);
    if (size > LARGEST) throw new Error(`${path} has ${size} bytes, more than ${LARGEST}: show less`);
  } finally {
    await opened.close();
  }
}

if (!hasChromium || !hasCluster()) process.exit(1);
const folder = await mkdtemp(join(tmpdir(), 'libc-dns-pictures-'));
const scene = await startScene();
try {
  const { code, out, err } = await scene.audit('-o', 'html');
  if (code !== 0) throw new Error(err);
  const page = join(folder, 'report.html');
  await writeFile(page, out);
  const browser = await openBrowser();
  try {
    for (const picture of PICTURES) await take(browser, page, picture);
  } finally {
    await browser.close();
  }
} finally {
  await scene.stop();
  await rm(folder, { recursive: true });
}
