import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { sha256Digest } from '../support/digest.ts';
import type { Cost, Task } from './child.ts';
import { mutate } from './mutate.ts';
import { createRandom, type Random } from './random.ts';
import type { Target } from './targets.ts';

/** What one input may cost. */
export const mostMs = 200;
export const mostBytes: number = 64 * 1024 * 1024;

// A child that says nothing for so long hangs.
const hangMs = 20_000;
// Of the inputs tried, so many are changed further.
const mostKept = 40;
const suspectTries = 3;

export interface Finding {
  readonly target: string;
  readonly input: Uint8Array;
  readonly why: string;
}

export interface FuzzOptions {
  /** A module that exports `targets`. */
  readonly module: string;
  /** A folder with a folder of inputs for each target. */
  readonly corpus: string;
  /** Names of the targets to try; all if empty. */
  readonly only: readonly string[];
  readonly seed: number;
  /** Milliseconds. */
  readonly timeMs: number;
  /** Ends after so many findings. */
  readonly mostFindings: number;
}

export interface Fuzzed {
  readonly findings: readonly Finding[];
  /** Inputs tried of each target, and what the dearest cost. */
  readonly tried: ReadonlyMap<string, { readonly inputs: number; readonly cpuMs: number; readonly bytes: number }>;
}

/**
 * Tries inputs until the time is over: first the corpus, then changes of it. The seed alone decides which inputs come, and in
 * which order. An input that costs too much is tried again alone before it counts.
 */
export async function fuzz(options: FuzzOptions): Promise<Fuzzed> {
  const { targets } = (await import(pathToFileURL(options.module).href)) as { targets: readonly Target[] };
  const wanted = targets.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  const end = performance.now() + options.timeMs;
  const findings: Finding[] = [];
  const tried = new Map<string, { inputs: number; cpuMs: number; bytes: number }>();
  const isOver = (): boolean => performance.now() >= end || findings.length >= options.mostFindings;
  const children = childPool(options.module);
  const tryInput = async (target: Target, input: Uint8Array): Promise<void> => {
    const cost = await children.run({ target: target.name, input, alone: false });
    const most = tried.get(target.name) ?? { inputs: 0, cpuMs: 0, bytes: 0 };
    const why = isDear(target, cost) ? await confirmed(target, input, options) : undefined;
    if (why !== undefined) findings.push({ target: target.name, input, why });
    const isSound = !isDear(target, cost) || why !== undefined;
    tried.set(target.name, {
      inputs: most.inputs + 1,
      cpuMs: isSound ? Math.max(most.cpuMs, cost.cpuMs) : most.cpuMs,
      bytes: isSound ? Math.max(most.bytes, cost.bytes) : most.bytes,
    });
  };
  const lanes = wanted.map((target) => ({ target, inputs: inputsOf(target, options) }));
  try {
    while (!isOver()) {
      for (const { target, inputs } of lanes) {
        if (!isOver()) await tryInput(target, inputs.next().value);
      }
    }
  } finally {
    await children.close();
  }
  return { findings, tried };
}

/** Yields the corpus of a target, then changes of it and of each other. */
function* inputsOf(target: Target, { corpus, seed }: FuzzOptions): Generator<Uint8Array, never, undefined> {
  const kept = readCorpus(join(corpus, target.name));
  yield* kept;
  const random: Random = createRandom(seed);
  const seeds = kept.length;
  for (;;) {
    const base = kept[random.below(kept.length)] ?? new Uint8Array(0);
    const input = mutate(base, random, target.mostBytes, target.json);
    yield input;
    // Changes pile up; the corpus itself stays.
    if (input.length <= 1 << 16 && random.below(4) === 0) {
      if (kept.length < seeds + mostKept) kept.push(input);
      else kept[seeds + random.below(mostKept)] = input;
    }
  }
}

export function readCorpus(folder: string): Uint8Array[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => readFileSync(join(folder, name)));
}

function excessOf(target: Target, { cpuMs, bytes, error }: Cost): string | undefined {
  if (error !== undefined) return error;
  if (cpuMs > mostMs && target.unhurried !== true) return `${Math.round(cpuMs)} ms of one thread`;
  return bytes > mostBytes ? `${Math.round(bytes / 1024 / 1024)} MiB of memory` : undefined;
}

const isDear = (target: Target, cost: Cost): boolean => excessOf(target, cost) !== undefined;

/** Tries an input again in processes of its own. Returns why it costs too much; undefined if it did not each time. */
async function confirmed(target: Target, input: Uint8Array, options: FuzzOptions): Promise<string | undefined> {
  let why: string | undefined;
  for (let time = 0; time < suspectTries; time += 1) {
    const child = childPool(options.module);
    try {
      // Compiles the reader first: that is not the input's cost.
      for (const warm of readCorpus(join(options.corpus, target.name)).slice(0, 3)) {
        await child.run({ target: target.name, input: warm, alone: false });
      }
      why = excessOf(target, await child.run({ target: target.name, input, alone: true }));
      if (why === undefined) return undefined;
    } finally {
      await child.close();
    }
  }
  return why;
}

interface ChildPool {
  run(task: Task): Promise<Cost>;
  close(): Promise<void>;
}

/** Runs tasks one by one in a child process; starts another one after an end or a hang. */
function childPool(module: string): ChildPool {
  let child: Promise<ChildProcess> | undefined;
  const stop = async (): Promise<void> => {
    const running = await child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exit = once(running, 'exit');
    running.kill('SIGKILL');
    await exit;
  };
  return {
    async run(task) {
      child ??= start(module);
      const running = await child;
      const hang = new AbortController();
      const timer = setTimeout(() => hang.abort(), hangMs);
      try {
        const answer = once(running, 'message', { signal: hang.signal });
        const exit = once(running, 'exit', { signal: hang.signal });
        // Only one of them settles with a result; the other is of no interest.
        answer.catch(() => {});
        exit.catch(() => {});
        running.send(task);
        const [first] = (await Promise.race([answer, exit.then(() => ['ended'])])) as [Cost | 'ended'];
        if (first !== 'ended') return first;
        child = undefined;
        return { cpuMs: 0, bytes: 0, error: `ended the process (${running.signalCode ?? running.exitCode})` };
      } catch (error) {
        if (!hang.signal.aborted) throw error;
        await stop();
        return { cpuMs: hangMs, bytes: 0, error: `no end within ${hangMs / 1000} s` };
      } finally {
        clearTimeout(timer);
        hang.abort();
      }
    },
    close: stop,
  };
}

const childFile = fileURLToPath(new URL('child.ts', import.meta.url));

async function start(module: string): Promise<ChildProcess> {
  const execArgv = ['--expose-gc', '--max-old-space-size=307'];
  const child = fork(childFile, [module], {
    execArgv,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  await once(child, 'message');
  return child;
}

/** A short name for an input: its target and a part of its digest. */
export const nameOf = ({ target, input }: Pick<Finding, 'target' | 'input'>): string =>
  `${target}-${sha256Digest(Buffer.from(input)).slice('sha256:'.length, 'sha256:'.length + 12)}`;
