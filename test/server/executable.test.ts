import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { buildExecutable, THIS_PLATFORM } from '../../packaging/executable.ts';
import { elf } from '../support/elf-builder.ts';
import { childrenOf } from '../support/family.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { startRegistry } from '../support/registry-server.ts';
import { answerOf, fixture } from '../support/reviews.ts';
import { startWebhook } from '../support/webhook-process.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe('the single executable, alone in a folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-executable-'));
  const program = join(folder, 'libc-dns');

  beforeAll(() => {
    execFileSync(process.execPath, ['build.mjs', 'executable'], { cwd: ROOT });
    buildExecutable(join(ROOT, 'dist/executable.js'), THIS_PLATFORM, program);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('runs commands without Node', () => {
    const input = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}';
    const out = execFileSync(program, ['explain', '--offline'], { input, encoding: 'utf8', env: {} });
    expect(out).toContain('UnknownOptions');
  });

  it('serves, and reads images in a process of its own, which may write no files', async () => {
    const registry = await startRegistry();
    const app = { path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) };
    const built = image({ layers: [layer([app], 'gzip')], config: { entrypoint: ['/app'] } });
    const review = fixture('plain');
    for (const container of review.request.object.spec['containers'] as { image: string }[]) {
      container.image = registry.put('team/app:v1', built);
    }
    const webhook = await startWebhook({
      program,
      flags: ['--namespace-mode', 'enforce'],
      settings: { DETECTION_REGISTRY_INSECURE: registry.host, DETECTION_BUDGET: '4s' },
      environment: { NODE_OPTIONS: '--expose-gc' },
    });
    const resolvers = async (): Promise<unknown[]> =>
      Object.values(answerOf(await webhook.post(JSON.stringify(review))).audit.decision.resolvers);
    await expect.poll(resolvers).toEqual(['musl']);
    const [reader] = childrenOf(webhook.process.pid ?? 0);
    expect(readFileSync(`/proc/${reader}/cmdline`, 'utf8')).toBe(`${program}\0--read-images\0`);
    const options = /(?:^|\0)NODE_OPTIONS=([^\0]*)/.exec(readFileSync(`/proc/${reader}/environ`, 'utf8'))?.[1];
    expect(options).toMatch(/^--max-old-space-size=\d+ .*--permission --allow-fs-read=\* --allow-net$/);
    expect(await webhook.stop()).toBe(0);
    await registry.close();
  });
});
