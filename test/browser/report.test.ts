import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { htmlReport } from '../../src/audit/html/report.ts';
import { hasChromium, openBrowser, serve, visit } from './chromium.ts';
import { example } from './reports.ts';

const BACKGROUND = 'getComputedStyle(document.body).backgroundColor';

/** Tries what a name that became markup or script could try. */
const sendTo = (url: string): string => `(async (url) => {
  const image = new Image();
  const loaded = new Promise((resolve) => {
    image.onload = () => resolve('loaded');
    image.onerror = () => resolve('refused');
  });
  image.src = url;
  const fetched = await fetch(url, { mode: 'no-cors' }).then(() => 'sent', () => 'refused');
  return [fetched, await loaded];
})(${JSON.stringify(url)})`;

const names = (page: Page, section: string) => page.locator(`#${section} .open`).allTextContents();
const status = (page: Page, section: string) => page.locator(`#${section} [role=status]`).textContent();

describe.skipIf(!hasChromium)('the report in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  it('says first whether the product is needed and what to do next', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    expect(await page.locator('main h2').first().textContent()).toBe(example.verdict.sentence);
    expect(await page.locator('.next li').allTextContents()).toEqual(example.verdict.next);
    expect(await page.locator('.next').evaluate((next) => next.getBoundingClientRect().bottom)).toBeLessThan(900);
  });

  it('finds rows by every word, also in their evidence, and says how many there are', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    const search = page.getByRole('searchbox', { name: 'Search workloads' });
    await search.fill('SHOP python3.14');
    expect(await names(page, 'workloads')).toEqual(['recommendations', 'orders']);
    expect(await status(page, 'workloads')).toBe('2 of 8 workloads');
    await search.fill('no such thing');
    expect(await names(page, 'workloads')).toEqual([]);
    await search.fill('');
    expect(await status(page, 'workloads')).toBe('8 workloads');
  });

  it('narrows by the values of a column', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    await page.locator('#images').getByLabel('Look-up').selectOption({ label: 'unauthorized (1)' });
    expect(await names(page, 'images')).toEqual(['registry.internal:5000/payments/ledger:2026.11']);
    await page.locator('#images .open').click();
    expect(await page.locator('#images .details').textContent()).toContain('docker login registry.internal:5000');
  });

  it('leads from a bar of a chart to the rows that it counts', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    await page.locator('#charts').getByRole('link', { name: 'payments' }).click();
    expect(await names(page, 'workloads')).toEqual(['reconcile', 'ledger']);
    await page.locator('#charts').getByRole('link', { name: 'options + retry' }).click();
    expect(await names(page, 'workloads')).toEqual(['orders']);
    expect(await page.evaluate('location.hash')).toBe('#workloads');
  });

  it('sorts by a column: numbers from the greatest, then the least, then as before', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    const head = page.locator('#workloads').getByRole('columnheader', { name: 'Pods' });
    const button = head.getByRole('button');
    const before = await names(page, 'workloads');
    await button.click();
    expect(await head.getAttribute('aria-sort')).toBe('descending');
    expect((await names(page, 'workloads')).slice(0, 2)).toEqual(['storefront', 'recommendations']);
    await button.click();
    expect(await head.getAttribute('aria-sort')).toBe('ascending');
    expect((await names(page, 'workloads')).at(-1)).toBe('storefront');
    await button.click();
    expect(await head.getAttribute('aria-sort')).toBe('none');
    expect(await names(page, 'workloads')).toEqual(before);
  });

  it('opens a row to its evidence, the file before and after, and the change', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    const button = page.locator('#workloads').getByRole('button', { name: 'storefront' });
    await button.click();
    expect(await button.getAttribute('aria-expanded')).toBe('true');
    const details = page.locator(`[id="${await button.getAttribute('aria-controls')}"]`);
    const text = await details.textContent();
    expect(text).toContain('/usr/sbin/nginx: interpreter /lib/ld-musl-x86_64.so.1');
    expect(text).toContain('- options ndots:5 timeout:1 single-request-reopen\n+ options ndots:5 timeout:1');
    expect(text).toContain('dnsConfig:\n  options:\n    - name: timeout\n      value: "5"');
    await button.click();
    expect(await page.locator('.details').count()).toBe(0);
  });

  it('follows the theme of the system until the reader chooses one, and remembers that', async () => {
    await using visited = await visit(browser, example, { colorScheme: 'dark' });
    const { page } = visited;
    const background = () => page.evaluate(BACKGROUND);
    expect(await background()).toBe('rgb(14, 19, 24)');
    await page.getByRole('button', { name: 'Light theme' }).click();
    expect(await background()).toBe('rgb(246, 247, 249)');
    await page.reload();
    expect(await background()).toBe('rgb(246, 247, 249)');
    await page.getByRole('button', { name: 'Dark theme' }).click();
    expect(await background()).toBe('rgb(14, 19, 24)');
  });

  it('prints in black on white, without what can only be pressed', async () => {
    await using visited = await visit(browser, example, { colorScheme: 'dark' });
    const { page } = visited;
    await page.emulateMedia({ media: 'print' });
    expect(await page.evaluate(BACKGROUND)).toBe('rgb(255, 255, 255)');
    expect(await page.locator('nav, input, select, #theme, .more').filter({ visible: true }).count()).toBe(0);
    expect(await page.locator('#workloads thead').isVisible()).toBe(true);
    expect((await page.pdf({ format: 'A4' })).subarray(0, 5).toString()).toBe('%PDF-');
  });

  it('shows summary, charts and findings without JavaScript, and says what the tables need', async () => {
    await using visited = await visit(browser, example, { javaScriptEnabled: false });
    const { page } = visited;
    expect(await page.getByRole('heading', { level: 2 }).first().textContent()).toBe(example.verdict.sentence);
    expect(await page.locator('#charts').getByRole('img').count()).toBeGreaterThan(8);
    expect(await page.locator('#findings article').count()).toBe(example.findings.length);
    expect(await page.getByText('This table needs JavaScript.').count()).toBe(4);
    expect(await page.locator('#theme').isVisible()).toBe(false);
  });

  it('asks nobody for anything, from a file or from a server, and complains about nothing', async () => {
    await using visited = await visit(browser, example);
    for (const button of await visited.page.locator('.open').all()) await button.click();
    expect(visited.requests.filter((url) => !url.startsWith('data:'))).toEqual([visited.page.url()]);
    expect(visited.complaints).toEqual([]);

    await using site = await serve(htmlReport(example));
    await visited.page.goto(site.url);
    await visited.page.locator('.open').first().click();
    expect(site.paths).toEqual(['/']);
    expect(visited.complaints).toEqual([]);
  });

  it('could not send anything if it wanted to, nor make HTML or a script of a text', async () => {
    await using site = await serve('');
    await using visited = await visit(browser, example);
    const { page } = visited;
    const sent = await page.evaluate(sendTo(site.url));
    expect(sent).toEqual(['refused', 'refused']);
    expect(site.paths).toEqual([]);
    const made = page.evaluate("document.body.innerHTML = '<b>x</b>'");
    await expect(made).rejects.toThrow('TrustedHTML');
  });
});
