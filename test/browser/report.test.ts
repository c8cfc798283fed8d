import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { htmlReport } from '../../src/audit/html/report.ts';
import { hasChromium, openBrowser, serve, visit } from './chromium.ts';
import { example } from './reports.ts';

const BACKGROUND = 'getComputedStyle(document.body).backgroundColor';

/** Returns the text of an element line by line, as it is laid out. */
const LINES = `((element) => {
  const lines = [];
  let top;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    for (let at = 0; at < node.length; at += 1) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const { bottom } = range.getBoundingClientRect();
      if (bottom !== top) lines.push('');
      top = bottom;
      lines[lines.length - 1] += node.data[at];
    }
  }
  return lines;
})`;

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
    const steps = await page.locator('.next li').evaluateAll((items) =>
      items.map((item) => {
        for (const button of item.querySelectorAll('button')) button.remove();
        return item.textContent;
      }),
    );
    expect(steps).toEqual(example.verdict.next);
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

  it('has the most exposed workloads first', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    const levels = await page.locator('#workloads td[data-label=Exposure]').allTextContents();
    const order = ['exposed', 'possibly exposed', 'mitigated', 'not exposed'];
    expect(levels).toEqual(levels.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)));
    expect(new Set(levels).size).toBe(4);
  });

  it('copies a command at the press of a button, from a file and from a server without a clipboard', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    const command = 'kubectl label namespace payments libc-dns.dev/mode=audit';
    const pasted = async (): Promise<string> => {
      await page
        .locator('.next')
        .getByRole('button', { name: `Copy: ${command}` })
        .click();
      await page.getByText('Copied').waitFor();
      const search = page.getByRole('searchbox', { name: 'Search workloads' });
      await search.fill('');
      await search.focus();
      await page.keyboard.press('Control+V');
      return await search.inputValue();
    };
    expect(await pasted()).toBe(command);
    await page.locator('#workloads').getByRole('searchbox').fill('');
    await page.evaluate('delete Navigator.prototype.clipboard');
    await page.getByText('Copied').waitFor({ state: 'detached' });
    expect(await pasted()).toBe(command);
    expect(await page.locator('textarea').count()).toBe(0);
    expect(visited.complaints).toEqual([]);
  });

  it('says so where copying is not allowed', async () => {
    await using visited = await visit(browser, example);
    const { page } = visited;
    await page.evaluate('delete Navigator.prototype.clipboard; Document.prototype.execCommand = () => false;');
    await page.locator('.next .copy').first().click();
    expect(await page.locator('.next .copy').first().textContent()).toBe('Not allowed here');
  });

  it('ends the lines of long names behind a separator, in their own column, at 1440 pixels', async () => {
    const name = 'payments-reconciliation-consumer-dead-letter-queue-replayer-eu-central-1';
    const image = `registry.shop.example/payments/${name}:2026.11.3`;
    const [workload] = example.workloads;
    const [one] = example.images;
    if (workload === undefined || one === undefined) throw new Error('the example is empty');
    const report = {
      ...example,
      workloads: [{ ...workload, name, namespace: name }],
      images: [{ ...one, image }],
      findings: [],
    };
    await using visited = await visit(browser, report, { viewport: { width: 1440, height: 900 } });
    const { page } = visited;
    for (const [section, text] of [
      ['workloads', name],
      ['images', image],
    ] as const) {
      const head = page.locator(`#${section} tbody th bdi`);
      expect(await head.textContent()).toBe(text);
      const lines = await page.evaluate<string[]>(`${LINES}(document.querySelector('#${section} tbody th bdi'))`);
      expect(lines.join('')).toBe(text);
      expect(lines.slice(0, -1).filter((line) => !/[-./:@_]$/.test(line))).toEqual([]);
      const covered = await page.evaluate(`[...document.querySelectorAll('#${section} tbody td, #${section} tbody th')]
        .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).length`);
      expect(covered).toBe(0);
    }
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
