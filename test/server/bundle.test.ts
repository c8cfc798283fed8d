import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { answerOf, fixture } from '../support/reviews.ts';
import { startWebhook } from '../support/webhook-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the bundled file, in a folder of its own without node_modules', () => {
  let folder: string;
  let main: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-bundle-'));
    main = join(folder, 'main.js');
    execFileSync(process.execPath, ['build.mjs'], { cwd: root });
    copyFileSync(join(root, 'dist', 'main.js'), main);
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  it('serves', async () => {
    const webhook = await startWebhook({ main, flags: ['--namespace-mode', 'enforce', '--offline'] });
    expect(answerOf(await webhook.post(JSON.stringify(fixture('plain')))).patch.length).toBeGreaterThan(0);
    expect(await webhook.stop()).toBe(0);
  });

  it('explains', () => {
    const input = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}';
    const out = execFileSync(process.execPath, [main, 'explain', '--offline'], { input, encoding: 'utf8' });
    expect(out).toContain('UnknownOptions');
  });
});
