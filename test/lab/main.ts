import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Order } from './inside.ts';
import { isolate, whyNotIsolated } from './isolation.ts';
import type { Cell } from './measure/run.ts';
import { preparePrograms } from './preparation/programs.ts';
import { whyNot } from './preparation/requirements.ts';
import { chart } from './report/chart.ts';
import { mistakesIn, reportOf, type Report } from './report/report.ts';
import { evidenceBlocks, fillBlocks, resultsPage, textReport } from './report/table.ts';
import { SCENARIOS } from './scenarios/all.ts';

/**
 * Tests real resolvers against the real fault: `node test/lab/main.ts [--runs N] [--json] [--write] [SCENARIO...]`.
 * `--write` writes the measurements into docs/ and results.md. Exits with 1 if a result is not as expected, with 2 if the lab cannot run here or
 * for wrong usage.
 */

const docs = (name: string): string => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

async function writeDocs(report: Report): Promise<void> {
  const evidence = await readFile(docs('evidence.md'), 'utf8');
  await writeFile(docs('evidence.md'), fillBlocks(evidence, evidenceBlocks(report)));
  await writeFile(fileURLToPath(new URL('results.md', import.meta.url)), resultsPage(report));
  await writeFile(docs('lab.svg'), chart(report));
  await writeFile(docs('lab.json'), `${JSON.stringify(report, null, 2)}\n`);
}

/** Runs the lab in isolation and ends it with this process, so that nothing is left behind. */
async function inItsOwnMachine(order: Order): Promise<Cell[]> {
  const lab = isolate(fileURLToPath(new URL('inside.ts', import.meta.url)), JSON.stringify(order));
  for (const [signal, number] of Object.entries({ SIGINT: 2, SIGTERM: 15, SIGHUP: 1 })) {
    process.once(signal, () => {
      lab.kill();
      process.exit(128 + number);
    });
  }
  return JSON.parse(await lab.result) as Cell[];
}

interface Wish {
  readonly runs: number;
  readonly json: boolean;
  readonly write: boolean;
  readonly scenarios: typeof SCENARIOS;
}

async function run({ runs, json, write, scenarios }: Wish): Promise<boolean> {
  const started = performance.now();
  console.error('lab: preparing the resolvers');
  const { programs, skipped, ...coreDns } = await preparePrograms();
  for (const { what, why } of skipped) console.error(`  SKIPPED ${what}: ${why}`);
  const cells = await inItsOwnMachine({ programs, runs, scenarios: scenarios.map(({ id }) => id), ...coreDns });
  const machine = { kernel: release().replace(/-.*/, ''), processors: availableParallelism() };
  const report = reportOf({ machine, runs, programs, skipped, scenarios, cells });
  console.log(json ? JSON.stringify(report, null, 2) : textReport(report));
  if (write) await writeDocs(report);
  const mistakes = mistakesIn(cells);
  for (const mistake of mistakes) console.error(`WRONG ${mistake}`);
  const right = cells.filter(({ problems }) => problems.length === 0).length;
  const again = cells.filter(({ repeated }) => repeated > 0).length;
  const lookUps = cells.reduce((sum, { samples }) => sum + samples.length, 0);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.error(
    `lab: ${right} of ${cells.length} results are what they should be, of ${lookUps} look-ups in ${seconds} s; ${again} were measured again`,
  );
  return mistakes.length === 0;
}

function wish(): Wish | string {
  const { values, positionals } = parseArgs({
    options: { runs: { type: 'string', default: '10' }, json: { type: 'boolean' }, write: { type: 'boolean' } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !SCENARIOS.some(({ id }) => id === name));
  if (unknown.length > 0)
    return `there is no scenario ${unknown.join(', ')}, but ${SCENARIOS.map(({ id }) => id).join(', ')}`;
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1 || runs > 100) return `--runs ${values.runs}: expected 1 to 100`;
  if (values.write && (positionals.length > 0 || runs < 10)) return '--write needs all scenarios, and at least 10 runs';
  const scenarios = SCENARIOS.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  return { runs, json: values.json === true, write: values.write === true, scenarios };
}

const asked = wish();
// Debian keeps administrators' tools there, and `su` leaves these folders out of PATH.
process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
const folders = process.env['PATH'].split(':');
const here = { platform: process.platform, root: process.getuid?.() === 0, folders };
const obstacle = typeof asked === 'string' ? asked : ((await whyNot(here)) ?? (await whyNotIsolated()));
if (obstacle !== undefined || typeof asked === 'string') {
  console.error(`lab: ${obstacle}`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = (await run(asked)) ? 0 : 1;
  } catch (error) {
    console.error(`lab: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
