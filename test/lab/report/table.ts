import { LIMIT_MS } from '../measure/look-up.ts';
import type { ResolverId } from '../preparation/programs.ts';
import { figuresIn, type Figures, type Report, type ScenarioFigures } from './report.ts';

function cellText(figures: Figures | undefined): string {
  if (figures === undefined) return '';
  if (figures.outcome === 'gives up') return `> ${LIMIT_MS}`;
  const times = `${figures.median.toFixed(0)} / ${figures.worst.toFixed(0)}`;
  return figures.outcome === 'found' ? times : `${times} ${figures.outcome}`;
}

/** Renders a Markdown table with oxfmt's padding. The first column is text, the others are numbers. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(3, title.length, ...rows.map((row) => (row[at] ?? '').length)));
  const pad = (text: string, at: number): string =>
    at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0);
  const line = (cells: readonly string[]): string => `| ${cells.map(pad).join(' | ')} |\n`;
  const rule = widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return line(head) + line(rule) + rows.map(line).join('');
}

const allOf = (resolvers: Report['resolvers']): ResolverId[] => Object.keys(resolvers) as ResolverId[];

/** One of each kind, for docs/evidence.md. */
const EXAMPLES: readonly ResolverId[] = ['glibc', 'node-resolve', 'go', 'musl'];

/** Renders median and worst milliseconds of each resolver (rows) in each column of a scenario. */
function scenarioTable({ columns }: ScenarioFigures, resolvers: Report['resolvers'], shown = allOf(resolvers)): string {
  const rows = shown
    .map((id) => ({ id, figures: columns.map((column) => figuresIn(column, id)) }))
    .filter(({ figures }) => figures.some((one) => one !== undefined))
    .map(({ id, figures }) => [resolvers[id] ?? id].concat(figures.map(cellText)));
  return markdownTable(['milliseconds, median / worst', ...columns.map(({ title }) => title)], rows);
}

/** Renders all tables for a terminal. */
export function textReport({ scenarios, resolvers, skipped }: Report): string {
  const tables = scenarios.map((scenario) => `${scenario.title}\n\n${scenarioTable(scenario, resolvers)}`);
  const absent = skipped.map(({ what, why }) => `SKIPPED ${what}: ${why}\n`);
  return [...tables, ...(absent.length > 0 ? [absent.join('')] : [])].join('\n');
}

/** Replaces the text between each `<!-- lab NAME -->` and `<!-- end -->` of a document. Throws if `blocks` lacks a name. */
export function fillBlocks(document: string, blocks: Readonly<Record<string, string>>): string {
  return document.replaceAll(
    /(<!-- lab (\S+) -->\n)[^]*?(<!-- end -->)/g,
    (_, start: string, name: string, end: string) => {
      const block = blocks[name];
      if (block === undefined) throw new Error(`the document asks for ${name}, which the lab does not have`);
      return `${start}\n${block}\n${end}`;
    },
  );
}

const machineText = ({ machine, runs }: Report): string =>
  `Linux ${machine.kernel}, ${machine.processors} processors; ${runs} fresh processes for each figure.\n`;

/** Returns the page test/lab/results.md: the tables of all scenarios. */
export function resultsPage(report: Report): string {
  const { scenarios, resolvers } = report;
  const head =
    '# The lab: all results\n\nWritten by `sudo npm run lab -- --write`. [docs/evidence.md](../../docs/evidence.md) says what they mean.\n';
  const tables = scenarios.map((scenario) => `## ${scenario.title}\n\n${scenarioTable(scenario, resolvers)}`);
  return [head, machineText(report), ...tables].join('\n');
}

/** Returns the blocks of docs/evidence.md: a table of each scenario, with one resolver of each kind, and `machine`. */
export function evidenceBlocks(report: Report): Record<string, string> {
  const { scenarios, resolvers } = report;
  return {
    machine: machineText(report),
    ...Object.fromEntries(
      scenarios.map((scenario) => [
        scenario.id,
        scenarioTable(
          scenario,
          resolvers,
          allOf(resolvers).filter((id) => EXAMPLES.includes(id)),
        ),
      ]),
    ),
  };
}
