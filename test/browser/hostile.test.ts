import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { AuditReport } from '../../src/audit/report/report.ts';
import { hasChromium, openBrowser, visit } from './chromium.ts';
import { example } from './reports.ts';

const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '</script><script>alert(2)</script>',
  '"><svg onload=alert(3)>',
  "' onmouseover='alert(4)",
  '</style></title></textarea><!--',
  '${alert(5)}{{alert(6)}}',
  'javascript:alert(7)',
  '&lt;b&gt; &amp;amp; \u0000\u0007',
  'line\u2028separator\u2029 right\u202eot tfel \ud800 lone',
  '__proto__',
  'constructor',
];

/** Every text of a report replaced, so that no place is forgotten; what the model has as a closed set stays. */
function poisoned(text: string): AuditReport {
  const closed = new Set<unknown>([
    'apiVersion',
    'resolver',
    'libc',
    'level',
    'state',
    'severity',
    'mode',
    'needed',
    'dnsOverTcp',
  ]);
  const poison = (value: unknown, key: string): unknown => {
    if (typeof value === 'string') return closed.has(key) ? value : text;
    if (Array.isArray(value)) return value.map((item) => poison(item, key));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, poison(inner, name)]));
  };
  return poison(example, '') as AuditReport;
}

describe.skipIf(!hasChromium)('the report with hostile names', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  it.each(HOSTILE)('%j in every text stays text', async (text) => {
    await using visited = await visit(browser, poisoned(text));
    const { page, complaints, requests } = visited;
    for (const button of await page.locator('.open').all()) await button.click();
    await page.mouse.move(300, 300);
    expect(await page.locator('img, svg[onload], [onmouseover], b').count()).toBe(0);
    expect(await page.locator('script').count()).toBe(2);
    expect(await page.locator('a:not([href^="#"])').count()).toBe(0);
    expect(await page.locator('#workloads .open').count()).toBe(8);
    expect(complaints).toEqual([]);
    expect(requests.filter((url) => !url.startsWith('data:'))).toEqual([page.url()]);
  });

  it('shows such a name as it is, and what turns text around as its code', async () => {
    await using visited = await visit(browser, example);
    const rows = await visited.page.locator('#workloads .open').allTextContents();
    expect(rows).toContain('<img src=x onerror=alert(1)>');
    expect(rows.find((row) => row.startsWith('=HYPERLINK'))).toMatch(
      / \\u\{202e\}gnp\.exe \\u\{1b\}\[31mred \\u\{2028\}end$/,
    );
  });

  it('cuts a name of a megabyte and stays quick and narrow', async () => {
    await using visited = await visit(browser, poisoned('x'.repeat(2 ** 20)), {
      viewport: { width: 360, height: 740 },
    });
    const { page, complaints } = visited;
    expect(await page.locator('#workloads .open').first().textContent()).toMatch(/^x{500}… \(1048576 characters\)$/);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    expect(complaints).toEqual([]);
  });
});
