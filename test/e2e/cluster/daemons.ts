import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { logsOf } from './place.ts';

/** Programs in the background, each with a log file. The kernel ends them with the isolation. */
export interface Daemons {
  /** Starts a program, in the network of `node` or outside of the nodes. */
  start(
    name: string,
    node: string | undefined,
    program: string,
    args: readonly string[],
    env?: NodeJS.ProcessEnv,
  ): void;
  /** Ends a program and waits for it. */
  stop(name: string, signal?: NodeJS.Signals): Promise<void>;
  /** Throws with the last lines of its log if a program has ended. */
  check(): void;
}

/** Returns the command that runs a program in a node's network. `ip netns exec` would mount another /sys, without cgroups. */
export function inNetwork(node: string | undefined, program: string, args: readonly string[]): [string, string[]] {
  return node === undefined ? [program, [...args]] : ['nsenter', [`--net=/run/netns/${node}`, '--', program, ...args]];
}

export function createDaemons(folder: string): Daemons {
  const logs = logsOf(folder);
  mkdirSync(logs, { recursive: true });
  const running = new Map<string, ChildProcess>();
  return {
    start(name, node, program, args, env = {}) {
      const log = openSync(join(logs, `${name}.log`), 'a');
      const [command, words] = inNetwork(node, program, args);
      const child = spawn(command, words, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
      closeSync(log);
      child.once('error', () => {});
      running.set(name, child);
    },
    async stop(name, signal = 'SIGTERM') {
      const child = running.get(name);
      running.delete(name);
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      await Promise.race([ended, sleep(10_000, undefined, { ref: false })]);
      child.kill('SIGKILL');
      await ended;
    },
    check() {
      for (const [name, { exitCode, signalCode }] of running) {
        if (exitCode === null && signalCode === null) continue;
        const last = readFileSync(join(logs, `${name}.log`), 'utf8')
          .trim()
          .split('\n')
          .slice(-8)
          .join('\n  ');
        throw new Error(`${name} ended (${signalCode ?? `status ${exitCode}`}):\n  ${last}`);
      }
    },
  };
}

/** Calls `attempt` until it resolves to something but undefined, and returns that. Rejects with the last error after `ms`. */
export async function until<T>(what: string, attempt: () => Promise<T | undefined>, ms = 60_000): Promise<T> {
  const end = performance.now() + ms;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const found = await attempt();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
    await sleep(250);
  }
  const why = last instanceof Error ? `: ${last.message}` : '';
  throw new Error(`${what}: not within ${ms / 1000} s${why}`, { cause: last });
}
