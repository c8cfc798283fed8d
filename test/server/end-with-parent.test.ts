import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';

const SUPPORT = new URL('../support/webhook-process.ts', import.meta.url).href;
const START = `
  const { startWebhook } = await import(${JSON.stringify(SUPPORT)});
  const { process: { pid } } = await startWebhook({ flags: ['--offline'] });
  console.log(pid);
`;

let started: number | undefined;
afterEach(() => {
  if (started !== undefined && existsSync(`/proc/${started}`)) process.kill(started, 'SIGKILL');
});

it('a webhook that a test has started ends when the process of the test is killed', async () => {
  const parent = spawn(process.execPath, ['--input-type=module', '-e', START], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string];
  started = Number(line);
  expect(existsSync(`/proc/${started}`)).toBe(true);
  parent.kill('SIGKILL');
  await expect.poll(() => existsSync(`/proc/${started}`)).toBe(false);
});
