import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

import { htmlReport } from '../../src/audit/html/report.ts';
import type { AuditReport } from '../../src/audit/report/report.ts';

const PROGRAM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** Debian: `apt-get install chromium`. Where there is none the tests say so and do not run. */
export const hasChromium = existsSync(PROGRAM);
if (!hasChromium) console.warn(`NOT RUN: there is no Chromium at ${PROGRAM} (CHROMIUM names another one)`);

/** A browser that asks nobody for anything by itself. */
export function openBrowser(): Promise<Browser> {
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic'];
  return chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox', '--no-first-run', ...quiet] });
}

/** A page, and what it did that a report must not do. */
export interface Visit extends AsyncDisposable {
  readonly page: Page;
  /** Errors and warnings of the console, exceptions, dialogs. */
  readonly complaints: string[];
  /** URLs asked for, the page's own among them. */
  readonly requests: string[];
}

/** Opens a report as a person does: as a file. */
export async function visit(
  browser: Browser,
  report: AuditReport,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-html-'));
  const file = join(folder, 'report.html');
  await writeFile(file, htmlReport(report));
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', async (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  return {
    page,
    complaints,
    requests,
    [Symbol.asyncDispose]: async () => {
      await context.close();
      await rm(folder, { recursive: true });
    },
  };
}

export interface Site extends AsyncDisposable {
  readonly url: string;
  /** Paths that were asked for. */
  readonly paths: string[];
}

/** A web server on loopback that has one document. */
export async function serve(document: string): Promise<Site> {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url ?? '');
    response.setHeader('content-type', 'text/html').end(document);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    paths,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
