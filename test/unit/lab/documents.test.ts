import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { chart } from '../../lab/report/chart.ts';
import type { Report } from '../../lab/report/report.ts';
import { evidenceBlocks, fillBlocks, resultsPage } from '../../lab/report/table.ts';

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url)), 'utf8');
const report = JSON.parse(read('lab.json')) as Report;

it('the tables of docs/evidence.md are those of the run in docs/lab.json', () => {
  const evidence = read('evidence.md');
  expect(fillBlocks(evidence, evidenceBlocks(report))).toBe(evidence);
});

it('test/lab/results.md has the tables of all scenarios of that run', () => {
  const results = read('../test/lab/results.md');
  expect(results).toBe(resultsPage(report));
  for (const { title } of report.scenarios) expect(results).toContain(`\n## ${title}\n\n| milliseconds`);
});

it('docs/lab.svg is the chart of that run', () => {
  expect(chart(report)).toBe(read('lab.svg'));
});
