import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { bundle } from '../support/bundle.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { startRegistry } from '../support/registry-server.ts';
import { answerOf, fixture } from '../support/reviews.ts';
import { startWebhook } from '../support/webhook-process.ts';

describe('the bundled file, in a folder of its own without node_modules', () => {
  let main: string;
  let remove: () => void;

  beforeAll(() => {
    ({ main, remove } = bundle());
  });
  afterAll(() => remove());

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

  it('looks images up in registries, with what is left of undici', async () => {
    const registry = await startRegistry();
    const app = { path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) };
    const built = image({ layers: [layer([app], 'gzip')], config: { entrypoint: ['/app'] } });
    const reference = registry.put('team/app:v1', built);
    const env = { ...process.env, LIBC_DNS_DETECTION_REGISTRY_INSECURE: registry.host };
    const { stdout } = await promisify(execFile)(process.execPath, [main, 'detect', reference], { env });
    expect(stdout).toContain('musl');
    await registry.close();
  });

  it('is ASCII: one character beyond Latin-1 and V8 keeps it in twice the memory', () => {
    expect(readFileSync(main, 'utf8')).toMatch(/^[\0-\x7f]*$/);
  });
});
