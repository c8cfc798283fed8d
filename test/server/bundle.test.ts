import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { bundle } from '../support/bundle.ts';
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
});
