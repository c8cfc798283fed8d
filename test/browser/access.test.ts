import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasChromium, openBrowser, visit } from './chromium.ts';
import { example } from './reports.ts';

const PHONE = { viewport: { width: 360, height: 740 } };

interface Contrast {
  readonly kind: 'text' | 'graphic';
  readonly what: string;
  readonly ratio: number;
}

const CONTRAST = readFileSync(new URL('contrast.js', import.meta.url), 'utf8');

/** What cannot be reached by scrolling downwards. */
const TOO_WIDE = `[...document.querySelectorAll('body *')]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest('nav, .hidden'))
  .map((element) => element.tagName + ' ' + element.className)`;

const focused = (page: Page) =>
  page.evaluate<string>('document.activeElement.textContent || document.activeElement.tagName');

async function openAll(page: Page): Promise<void> {
  for (const button of await page.locator('.open').all()) await button.click();
}

describe.skipIf(!hasChromium)('the report for everybody', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  it.each(['light', 'dark'] as const)('reaches AA in contrast in the %s theme', async (colorScheme) => {
    await using visited = await visit(browser, example, { colorScheme });
    await openAll(visited.page);
    const found = await visited.page.evaluate<Contrast[]>(CONTRAST);
    expect(found.length).toBeGreaterThan(200);
    expect(found.filter(({ kind, ratio }) => ratio < (kind === 'text' ? 4.5 : 3))).toEqual([]);
  });

  it('is used by keyboard alone, and shows where it is', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Skip to the summary');
    expect(await page.locator('.skip').evaluate((link) => link.getBoundingClientRect().top)).toBeGreaterThanOrEqual(0);

    await page.getByRole('searchbox', { name: 'Search workloads' }).focus();
    await page.keyboard.type('orders');
    // Four choices, then the heads of eight columns, then the rows.
    for (let presses = 0; presses < 4 + 8 + 1; presses++) await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('orders');
    const outline =
      "getComputedStyle(document.activeElement).outlineStyle + ' ' + getComputedStyle(document.activeElement).outlineWidth";
    expect(await page.evaluate(outline)).toBe('solid 2px');
    await page.keyboard.press('Enter');
    expect(await page.locator('#workloads .details').count()).toBe(1);
    await page.keyboard.press('Space');
    expect(await page.locator('#workloads .details').count()).toBe(0);
  });

  it('has landmarks and one first heading, and its heads say how it is sorted', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    for (const role of ['banner', 'navigation', 'main', 'contentinfo'] as const) await page.getByRole(role).waitFor();
    expect(await page.getByRole('heading', { level: 1 }).allTextContents()).toEqual([
      'DNS audit of https://10.0.0.1:6443',
    ]);
    const sections = page.locator('main > section');
    expect(await sections.count()).toBe(8);
    for (const section of await sections.all())
      expect(await section.getAttribute('aria-labelledby')).toMatch(/-title$/);
    await page.locator('#images').getByRole('button', { name: 'Pods' }).click();
    expect(await page.locator('#images [aria-sort=descending]').count()).toBe(1);
  });

  it('speaks the numbers of its charts', async () => {
    await using visited = await visit(browser, example);
    const row = visited.page.locator('#charts').getByRole('row', { name: 'shop' });
    expect(await row.getByRole('img').getAttribute('aria-label')).toBe('glibc 9, musl 15');
    expect(await row.getByRole('cell').last().textContent()).toBe('24');
  });

  it('fits a phone: nothing is wider than the screen, opened or not, and rows stay rows to a screen reader', async () => {
    await using visited = await visit(browser, example, PHONE);
    const { page } = visited;
    expect(await page.evaluate(TOO_WIDE)).toEqual([]);
    await openAll(page);
    expect(await page.evaluate(TOO_WIDE)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    const row = page
      .locator('#workloads')
      .getByRole('row', { name: /storefront/ })
      .first();
    expect(await row.getByRole('cell').count()).toBe(7);
    expect(await row.getByRole('rowheader').textContent()).toBe('storefront');
    // The links of the sections stand in even columns, and none is cut.
    const links = await page.locator('nav a').evaluateAll((all) => all.map((link) => link.getBoundingClientRect()));
    expect(links.filter(({ right }) => right > 360)).toEqual([]);
    expect(new Set(links.map(({ left }) => left)).size).toBeLessThanOrEqual(2);
    const [title, button] = await Promise.all([page.locator('h1').boundingBox(), page.locator('#theme').boundingBox()]);
    expect(Math.abs((title?.y ?? 0) - (button?.y ?? 99))).toBeLessThan(8);
  });

  it.each([768, 1024, 1280, 1920])('fits a window of %i pixels', async (width) => {
    await using visited = await visit(browser, example, { viewport: { width, height: 900 } });
    await openAll(visited.page);
    expect(await visited.page.evaluate(TOO_WIDE)).toEqual([]);
  });
});
