import { readFileSync } from 'node:fs';

import { startWebhook } from '../support/webhook-process.ts';

/** One start: milliseconds by the wall's clock, and of processor time. */
export interface Start {
  readonly wall: number;
  readonly processor: number;
}

/** Of all threads, user and system (proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms). */
function processorMs(pid: number): number {
  // The second field is a name in brackets and may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Starts the program alone, so often, from nothing to the line that says it is ready. */
export async function measureStarts(program: string, starts: number): Promise<Start[]> {
  const measured: Start[] = [];
  for (let start = 0; start < starts; start += 1) {
    const before = performance.now();
    const webhook = await startWebhook({ main: program });
    measured.push({ wall: performance.now() - before, processor: processorMs(webhook.process.pid ?? 0) });
    await webhook.stop();
  }
  return measured;
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Infinity;
