import { spawn, type ChildProcess } from 'node:child_process';
import { command } from '../command.ts';

/**
 * Network namespaces inside the isolation (isolation.ts). `/run` is private there, so all names are free, and everything
 * disappears with the lab's first process.
 */

export const FOLDER = '/run/lab';

/** Where a program runs: in a network namespace, and in the mount namespace of the process `mounts`. */
export interface Place {
  readonly namespace: string;
  readonly mounts?: number;
}

/** Returns the command line that runs `argv` in a place. */
export function within({ namespace, mounts }: Place, argv: readonly string[]): [string, ...string[]] {
  const mount = mounts === undefined ? [] : [`--mount=/proc/${mounts}/ns/mnt`];
  return ['nsenter', `--net=/run/netns/${namespace}`, ...mount, '--', ...argv];
}

export async function runWithin(namespace: string, argv: readonly string[], input?: string): Promise<string> {
  const [name, ...args] = within({ namespace }, argv);
  return command(name, args, input === undefined ? {} : { input });
}

/** Creates a network namespace with its loopback interface up. */
export async function addNamespace(name: string): Promise<void> {
  await command('ip', ['netns', 'add', name]);
  await ip(name, ['link set lo up']);
}

/** Runs lines of `ip -batch` in a namespace. */
export async function ip(namespace: string, lines: readonly string[]): Promise<void> {
  await command('ip', ['-n', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** A process that keeps running. */
export interface Service {
  readonly child: ChildProcess;
  /** Ends the process and waits until it has ended. */
  stop(): Promise<void>;
}

/** Starts a process in a namespace and waits until its output (standard output or error) matches `ready`. */
export function startService(namespace: string, argv: readonly string[], ready: RegExp): Promise<Service> {
  const [name, ...args] = within({ namespace }, argv);
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
  };
  return new Promise((resolve, reject) => {
    let words = '';
    const timer = setTimeout(() => reject(new Error(`${argv.join(' ')} is not ready: ${words}`)), 30_000);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    const listen = (chunk: Buffer): void => {
      words = `${words}${chunk.toString()}`.slice(-2000);
      if (ready.test(words)) settle(() => resolve({ child, stop }));
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.once('error', (error) => settle(() => reject(error)));
    void ended.then(() => settle(() => reject(new Error(`${argv.join(' ')} has ended: ${words}`))));
  });
}
