import { spawn } from 'node:child_process';
import { command } from './command.ts';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';

/**
 * A machine of the lab's own: namespaces for processes, mounts and networks, in which a script runs as the first
 * process. When that ends, however it ends, the kernel ends all other processes in there and removes all interfaces,
 * namespaces, rules and mounts with them. Nothing is ever to be cleaned up, and nothing of the machine outside is in reach:
 * its interfaces, routes, sysctls and nftables are of another network namespace.
 */

export interface Isolated {
  /** What the script wrote to its file descriptor 3. Rejects where the script fails. */
  readonly result: Promise<string>;
  /** Ends it at once. */
  readonly kill: () => void;
}

const FLAGS = ['--mount', '--net', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'];

/** Of the script in the other machine. */
const RESULT = 3;

/**
 * Runs a script in a machine of its own, with `argument` as its only one. Needs root. The script must end when its standard
 * input does (`endWithParent`): so it does not outlive a parent that was killed.
 */
export function isolate(script: string, argument: string): Isolated {
  const child = spawn('unshare', [...FLAGS, process.execPath, script, argument], {
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
  });
  const output = text(child.stdio[RESULT] as Readable);
  const result = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`the lab ended with ${signal ?? `status ${code}`}`));
    });
  });
  // It reads nothing; that it stays open is what tells the script that we are here.
  child.stdin?.on('error', () => {});
  return { result, kill: () => void child.kill('SIGKILL') };
}

/** Why this machine lets us have none of our own, in its words; undefined: it does. */
export async function whyNotIsolated(): Promise<string | undefined> {
  return command('unshare', [...FLAGS, 'true']).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

/** In the isolated script: ends the process when its parent is gone, or on a signal, which a first process would ignore. */
export function endWithParent(): void {
  process.stdin.on('close', () => process.exit(1)).resume();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));
}
