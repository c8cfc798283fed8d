import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const FIXTURE = fileURLToPath(new URL('isolated-parent.ts', import.meta.url));

function canIsolate(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['--mount', '--net', '--pid', '--fork', '--mount-proc', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Processes of the machine with `marker` in their command line. */
function processesWith(marker: string): string[] {
  return readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(marker);
    } catch {
      return false;
    }
  });
}

const possible = canIsolate();
if (!possible) console.warn('SKIPPED: the lab’s isolation is tested as root on Linux only');

describe.runIf(possible)('the lab’s own machine', () => {
  let parent: ChildProcess | undefined;
  afterEach(() => parent?.kill('SIGKILL'));

  it.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
    'leaves nothing behind when its parent gets %s',
    async (signal) => {
      const before = Object.keys(networkInterfaces());
      // A duration that names this test's process among all others.
      const marker = `1000000.${process.pid}${signal.length}`;
      parent = spawn(process.execPath, [FIXTURE, marker], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [line] = (await once(parent.stdout!, 'data')) as [Buffer];
      expect(line.toString()).toBe('1 lab0\n');
      expect(processesWith(marker).length).toBeGreaterThan(0);
      expect(Object.keys(networkInterfaces())).toEqual(before);

      parent.kill(signal);
      await once(parent, 'exit');
      await expect.poll(() => processesWith(marker), { timeout: 10_000 }).toEqual([]);
      expect(Object.keys(networkInterfaces())).toEqual(before);
    },
  );
});
