import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { parseDuration } from '../../src/config/options.ts';
import { fuzz, mostBytes, mostMs, nameOf } from './fuzz.ts';
import { targets } from './targets.ts';

/**
 * Feeds readers of foreign bytes with changed inputs: `npm run fuzz -- [--time 120s] [--seed N] [--out DIR] [TARGET...]`. Exits
 * with 1 if an input costs more than 200 ms of one thread or 64 MiB, ends the process, or throws what is not ours; writes such
 * inputs to DIR. Exits with 2 for wrong usage.
 */

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      time: { type: 'string', default: '2m' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      out: { type: 'string', default: 'fuzz-findings' },
    },
    allowPositionals: true,
  });
  const timeMs = parseDuration(values.time);
  const seed = Number(values.seed);
  const unknown = positionals.filter((name) => !targets.some((target) => target.name === name));
  if (timeMs === undefined || !Number.isInteger(seed) || unknown.length > 0) {
    console.error(`fuzz [--time 120s] [--seed N] [--out DIR] [${targets.map(({ name }) => name).join('|')}]`);
    return 2;
  }
  console.error(
    `fuzz: ${values.time}, --seed ${seed}; at most ${mostMs} ms of one thread and ${mostBytes / 2 ** 20} MiB each`,
  );
  const { findings, tried } = await fuzz({
    module: here('targets.ts'),
    corpus: here('corpus'),
    only: positionals,
    seed,
    timeMs,
    mostFindings: 10,
  });
  for (const [name, { inputs, cpuMs, bytes }] of tried) {
    console.error(
      `${name.padEnd(16)}${String(inputs).padStart(7)} inputs, ${cpuMs.toFixed(0)} ms and ${(bytes / 2 ** 20).toFixed(0)} MiB at most`,
    );
  }
  for (const finding of findings) {
    mkdirSync(values.out, { recursive: true });
    const file = join(values.out, nameOf(finding));
    writeFileSync(file, finding.input);
    console.error(`${finding.target}: ${finding.why}\n    ${file}, ${finding.input.length} bytes`);
  }
  console.error(`fuzz: ${findings.length} findings`);
  return findings.length === 0 ? 0 : 1;
}

process.exitCode = await main();
