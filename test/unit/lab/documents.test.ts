import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { chart } from '../../lab/report/chart.ts';
import type { Report } from '../../lab/report/report.ts';
import { evidenceBlocks, fillBlocks } from '../../lab/report/table.ts';

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url)), 'utf8');
const report = JSON.parse(read('lab.json')) as Report;

it('the tables of docs/evidence.md are those of the run in docs/lab.json', () => {
  const evidence = read('evidence.md');
  expect(fillBlocks(evidence, evidenceBlocks(report))).toBe(evidence);
});

it('docs/evidence.md has the tables of all scenarios', () => {
  const shown = [...read('evidence.md').matchAll(/<!-- lab (\S+) -->/g)].map(([, name]) => name);
  expect(new Set(shown)).toEqual(new Set(Object.keys(evidenceBlocks(report))));
});

it('docs/lab.svg is the chart of that run', () => {
  expect(chart(report)).toBe(read('lab.svg'));
});
