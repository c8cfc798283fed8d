import { readFile, readdir, readlink } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { answerOf } from '../../support/reviews.ts';
import { post, type WebhookProcess } from '../../support/webhook-process.ts';

/** The resources that a process holds. */
export interface Held {
  /** Resident memory, MB. */
  readonly memory: number;
  /** Open files, including sockets. */
  readonly files: number;
  readonly sockets: number;
}

async function filesOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`);
  return await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
}

export async function held(pid: number): Promise<Held> {
  const [status, files] = await Promise.all([readFile(`/proc/${pid}/status`, 'utf8'), filesOf(pid)]);
  const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  return {
    memory: Math.round(kilobytes / 1024),
    files: files.length,
    sockets: files.filter((file) => file.startsWith('socket:')).length,
  };
}

/** Returns the resident memory of a process and its children, in MB. */
export async function memoryWithChildren(pid: number): Promise<number> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
    .split(' ')
    .filter((text) => text !== '');
  const all = await Promise.all([
    held(pid).then(({ memory }) => (Number.isNaN(memory) ? 0 : memory)),
    // A child may have ended since.
    ...children.map((child) => memoryWithChildren(Number(child)).catch(() => 0)),
  ]);
  // One that has ended and was not waited for yet has none.
  return all.reduce((sum, memory) => sum + (Number.isNaN(memory) ? 0 : memory), 0);
}

/** Returns the pid of a running process. */
export const pidOf = ({ process: { pid } }: Pick<WebhookProcess, 'process'>): number => {
  if (pid === undefined) throw new Error('the process has not started');
  return pid;
};

const scrape = async ({ probes }: Pick<WebhookProcess, 'probes'>): Promise<string> =>
  await (await fetch(`${probes}/metrics`)).text();

function sumOf(text: string, start: string): number {
  const lines = text.split('\n').filter((line) => line.startsWith(start) && !line.startsWith('#'));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** Returns the sum of the series whose name and labels begin with `start`. */
export const metric = async (webhook: Pick<WebhookProcess, 'probes'>, start: string): Promise<number> =>
  sumOf(await scrape(webhook), start);

/** Returns the number of decisions, and of those slower than 2.5 s, from one scrape: a replica goes on deciding. */
export async function decisionsOf(webhook: Pick<WebhookProcess, 'probes'>): Promise<{ all: number; slow: number }> {
  const text = await scrape(webhook);
  const all = sumOf(text, 'libc_dns_decision_duration_seconds_count');
  return { all, slow: all - sumOf(text, 'libc_dns_decision_duration_seconds_bucket{le="2.5"}') };
}

/** Returns the sum of {@link metric} over several replicas. */
export async function metricOfAll(replicas: readonly Pick<WebhookProcess, 'probes'>[], start: string): Promise<number> {
  const counts = await Promise.all(replicas.map((replica) => metric(replica, start)));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Returns a function that resolves to how much a metric of these replicas has grown since this call. */
export async function counting(
  replicas: readonly Pick<WebhookProcess, 'probes'>[],
  start: string,
): Promise<() => Promise<number>> {
  const before = await metricOfAll(replicas, start);
  return async () => (await metricOfAll(replicas, start)) - before;
}

/** Returns a function that tells the longest stall of this machine since this call, in ms. No promise holds against stalls. */
export function machineStalls(): () => number {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  return () => {
    delay.disable();
    return Math.round(delay.max / 1e6);
  };
}

/** Collects times in milliseconds. */
export class Times {
  readonly #all: number[] = [];

  add(ms: number): void {
    this.#all.push(ms);
  }

  /** Adds how long the work takes; nothing if it rejects. */
  async time<T>(work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await work();
    this.add(performance.now() - started);
    return result;
  }

  get count(): number {
    return this.#all.length;
  }

  /** Returns 0 if there are no times. */
  percentile(share: number): number {
    const sorted = this.#all.toSorted((a, b) => a - b);
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  }
}

/** Sends a review `times` times, one after another. Each must be answered with a patch. */
export async function answers(webhook: WebhookProcess, review: string, times: number): Promise<Times> {
  const seen = new Times();
  for (let index = 0; index < times; index += 1) {
    const started = performance.now();
    const { allowed, patch } = answerOf(await post(webhook.url, webhook.ca, review));
    seen.add(performance.now() - started);
    if (!allowed || patch.length === 0) throw new Error('a Pod was not patched');
  }
  return seen;
}

/** Polls until the condition holds. Rejects with the last value after a timeout. */
export async function until<T>(
  read: () => Promise<T> | T,
  isIt: (value: T) => boolean,
  { ms = 30_000, what = 'it never came true' } = {},
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await read();
    if (isIt(value)) return value;
    if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(value)} after ${Math.round(ms / 1000)} s`);
    await sleep(100);
  }
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
