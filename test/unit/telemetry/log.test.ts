import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { createLog } from '../../../src/telemetry/log.ts';

const LOG = fileURLToPath(new URL('../../../src/telemetry/log.ts', import.meta.url));

/** What a process has written to standard error when it is killed, which never had a turn to write what waits. */
async function writtenBeforeKill(lines: string): Promise<string> {
  const program = `
    const { createLog } = await import(${JSON.stringify(LOG)});
    const { setTimeout: pause } = await import('node:timers/promises');
    const log = createLog({ level: 'info', format: 'json' });
    for (let i = 0; i < 30; i += 1) { log.info('start'); await pause(25); }
    await pause(1200);
    ${lines}
    await pause(100);
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let written = '';
  child.stderr.on('data', (chunk: Buffer) => (written += chunk.toString()));
  await once(child, 'close');
  return written;
}

describe('a line of the log', () => {
  it('waits for others', async () => {
    expect(await writtenBeforeKill(`log.info('a Pod');`)).not.toContain('a Pod');
  });

  it('does not wait if it is a warning, and takes with it those that do', async () => {
    const written = await writtenBeforeKill(`log.info('a Pod'); log.warn('no memory');`);
    expect(written).toMatch(/a Pod.*\n.*no memory.*\n$/);
  });
});

describe('a line whose fields are text already', () => {
  const fields = { pod: 'web "0" \u202E', remedy: ['options'], evidence: { app: 'ELF é' }, dryRun: false, ms: 1.25 };

  it.each(['json', 'text'] as const)('is the same, byte by byte, as one that is made of values: %s', (format) => {
    const lines: (readonly [string, boolean | undefined])[] = [];
    const write = (line: string, isUrgent?: boolean): void => void lines.push([line, isUrgent]);
    const log = createLog({ level: 'debug', format, destination: { write } });
    for (const level of ['debug', 'info', 'warn', 'error'] as const) {
      log[level](fields, 'the "reason"\u2028');
      log.text(level, JSON.stringify(fields).slice(1, -1), 'the "reason"\u2028');
    }
    const timeless = lines.map(([line, isUrgent]) => [line.replace(/\d\d:\d\d:\d\d\.\d{3}/, ''), isUrgent]);
    expect(timeless).toHaveLength(8);
    for (let at = 0; at < 8; at += 2) expect(timeless[at + 1]).toEqual(timeless[at]);
    expect(lines.map(([, isUrgent]) => isUrgent)).toEqual([false, false, false, false, true, true, true, true]);
  });
});
