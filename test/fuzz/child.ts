import { readFileSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { collectGarbage } from '../../src/util/memory.ts';
import type { Target } from './targets.ts';

/**
 * Runs inputs and tells what each cost: `node --expose-gc child.ts TARGETS`, where TARGETS is a module that exports
 * `targets`. Messages: a `Task` comes in, a `Cost` goes out.
 */

export interface Task {
  readonly target: string;
  readonly input: Uint8Array;
  /** Collects garbage before: slower, and tells memory of earlier inputs from that of this one. */
  readonly alone: boolean;
}

export interface Cost {
  /** Milliseconds of the main thread's processor time. */
  readonly cpuMs: number;
  /** Bytes of memory beyond what the process had before. */
  readonly bytes: number;
  /** What was thrown, if that is a defect. */
  readonly error?: string;
}

const statusBytes = (name: string): number => {
  const line = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
};

/** Sets the peak of resident memory back to what is resident now (proc(5), clear_refs). */
const resetPeak = (): void => writeFileSync('/proc/self/clear_refs', '5');

async function costOf(target: Target, { input, alone }: Task): Promise<Cost> {
  const read = target.prepare(input);
  if (alone) {
    await setImmediate();
    collectGarbage();
  }
  resetPeak();
  const before = statusBytes('VmRSS');
  const began = process.threadCpuUsage();
  let error: string | undefined;
  try {
    await read();
  } catch (thrown) {
    error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  }
  const { user, system } = process.threadCpuUsage(began);
  const cost = { cpuMs: (user + system) / 1000, bytes: Math.max(0, statusBytes('VmHWM') - before) };
  return error === undefined ? cost : { ...cost, error };
}

const [, , module = ''] = process.argv;
const { targets } = (await import(pathToFileURL(module).href)) as { targets: readonly Target[] };
process.on('message', (task: Task) => {
  const target = targets.find(({ name }) => name === task.target);
  if (target === undefined) throw new Error(`there is no target ${task.target}`);
  void costOf(target, task).then((cost) => process.send?.(cost));
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
