import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { htmlReport } from '../../src/audit/html/report.ts';
import { hasChromium, openBrowser, visit } from './chromium.ts';
import { largeReport } from './reports.ts';

const ROWS = 10_000;
const large = largeReport(ROWS);

const rows = (page: Page) => page.locator('#workloads .open');

/** Milliseconds from an input to the next frame that shows what came of it. */
const typed = (text: string): string => `new Promise((resolve) => {
  const search = document.querySelector('#workloads input');
  const start = performance.now();
  search.value = ${JSON.stringify(text)};
  search.dispatchEvent(new Event('input', { bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
})`;

const pressed = (column: number): string => `new Promise((resolve) => {
  const start = performance.now();
  document.querySelectorAll('#workloads thead button')[${column}].click();
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
})`;

describe.skipIf(!hasChromium)(`the report of ${ROWS} workloads, images and findings`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  it('opens, searches, sorts, and shows more when asked to', async () => {
    await using visited = await visit(browser, large);
    const { page, complaints } = visited;
    const loaded = await page.evaluate<number>('performance.getEntriesByType("navigation")[0].loadEventEnd');
    expect(await page.locator('#workloads [role=status]').textContent()).toBe('10,000 workloads');
    expect(await rows(page).count()).toBe(50);

    const times = {
      loaded,
      firstSearch: await page.evaluate<number>(typed('s')),
      search: await page.evaluate<number>(typed('service-99 team-1')),
      clear: await page.evaluate<number>(typed('')),
      sortText: await page.evaluate<number>(pressed(0)),
      sortNumber: await page.evaluate<number>(pressed(3)),
    };
    console.log(
      `${ROWS} rows, ms:`,
      Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, Math.round(ms)])),
    );

    await page.getByRole('searchbox', { name: 'Search workloads' }).fill('service-9999');
    expect(await rows(page).allTextContents()).toEqual(['service-9999']);
    await rows(page).click();
    expect(await page.locator('#workloads .details').isVisible()).toBe(true);
    await page.getByRole('searchbox', { name: 'Search workloads' }).fill('');
    await page.locator('#workloads').getByRole('button', { name: 'Show 250 more of 9,950' }).click();
    expect(await rows(page).count()).toBe(300);
    expect(await page.evaluate('document.activeElement.textContent')).toBe((await rows(page).allTextContents())[50]);
    expect(complaints).toEqual([]);
  });

  it('prints the first rows of what was found', async () => {
    await using visited = await visit(browser, largeReport(1500));
    const { page } = visited;
    await page.evaluate("dispatchEvent(new Event('beforeprint'))");
    expect(await rows(page).count()).toBe(500);
    await page.emulateMedia({ media: 'print' });
    expect(await page.locator('#workloads .unprinted').textContent()).toBe(
      '1,000 more are not printed: search to choose which.',
    );
  });

  it('is made in bounded time and size', () => {
    const start = performance.now();
    const bytes = Buffer.byteLength(htmlReport(large));
    console.log(
      `${ROWS} rows: ${Math.round(performance.now() - start)} ms to make, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
    );
    expect(bytes).toBeLessThan(64 * 2 ** 20);
  });
});
