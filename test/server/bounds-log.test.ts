import { execFileSync, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

import { answerOf, podReview } from '../support/reviews.ts';
import { startWebhook } from '../support/webhook-process.ts';

const LOGS = fileURLToPath(new URL('../support/log-process.ts', import.meta.url));
const MIB = 2 ** 20;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** A pipe, as a container's runtime hands it to a process, that nobody reads until `read` is called. */
function unreadPipe(): { fd: number; read: () => { text: () => string } } {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-log-'));
  closers.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'log');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, 'r+');
  return {
    fd,
    read() {
      const chunks: Buffer[] = [];
      const reader = new Socket({ fd, readable: true, writable: false });
      closers.push(() => reader.destroy());
      reader.on('data', (chunk: Buffer) => chunks.push(chunk));
      return { text: () => Buffer.concat(chunks).toString() };
    },
  };
}

function start(stdio: SpawnOptions['stdio'], lines: number): ChildProcess {
  const child = spawn(process.execPath, [LOGS, String(lines)], { stdio });
  closers.push(() => child.kill('SIGKILL'));
  return child;
}

describe('log lines that nobody reads', () => {
  it('wait in 4 MiB of memory; more are dropped, and when they are read new ones come', async () => {
    const pipe = unreadPipe();
    const child = start(['pipe', 'pipe', pipe.fd], 200_000);
    const [said] = (await once(child.stdout!, 'data')) as [Buffer];
    // 200 MB were logged.
    expect(Number(said)).toBeLessThan(190 * MIB);
    const log = pipe.read();
    await expect.poll(() => (child.stdin!.write('.'), log.text()), { timeout: 20_000 }).toContain('"msg":"late"');
    const early = log
      .text()
      .split('\n')
      .filter((line) => line.includes('"early"'));
    for (const line of early) expect(() => void JSON.parse(line)).not.toThrow();
    const bytes = early.join('\n').length;
    expect(bytes).toBeGreaterThan(3 * MIB);
    // The kernel's own 64 KiB, and what was on its way.
    expect(bytes).toBeLessThan(4.5 * MIB);
  });

  it('hold up no Pod', async () => {
    const webhook = await startWebhook({ flags: ['--namespace-mode', 'enforce', '--offline'] });
    closers.push(() => webhook.process.kill('SIGKILL'));
    webhook.process.stderr!.pause();
    const review = JSON.stringify(podReview());
    // A thousand lines of 400 bytes: more than a pipe holds.
    for (let sent = 0; sent < 1000; sent += 50) {
      const replies = await Promise.all(Array.from({ length: 50 }, () => webhook.post(review)));
      for (const reply of replies) expect(answerOf(reply).allowed).toBe(true);
    }
    expect(webhook.lines.length).toBeLessThan(900);
  });
});
