import { spawn } from 'node:child_process';
import { command } from './command.ts';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';

/**
 * Runs a script as the first process in new PID, mount and network namespaces. When it ends, however it ends, the kernel ends all
 * other processes in there and removes all interfaces, namespaces, rules and mounts. So nothing needs to be cleaned up, and the
 * machine outside cannot be changed: its interfaces, routes, sysctls and nftables are in another network namespace.
 */

interface Isolated {
  /** Resolves to what the script wrote to file descriptor 3. Rejects if the script fails. */
  readonly result: Promise<string>;
  /** Kills the script. */
  readonly kill: () => void;
}

const FLAGS = ['--mount', '--net', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'];

/** The script's file descriptor for its result. */
const RESULT = 3;

/**
 * Runs an isolated script with one argument. Needs root. The script must end when its standard input closes (`endWithParent`), so
 * that it does not outlive a parent that was killed.
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
      else reject(new Error(`the isolated script ended with ${signal ?? `status ${code}`}`));
    });
  });
  // Nothing is written: the open pipe only shows the script that its parent lives.
  child.stdin?.on('error', () => {});
  return { result, kill: () => void child.kill('SIGKILL') };
}

/** Returns this machine's error if it does not allow isolation; undefined if it does. */
export async function whyNotIsolated(): Promise<string | undefined> {
  return command('unshare', [...FLAGS, 'true']).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

/** Called by the isolated script: ends it when its parent is gone, or on a signal, which a first process would ignore. */
export function endWithParent(): void {
  process.stdin.on('close', () => process.exit(1)).resume();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));
}
