import type { ResolverId } from '../preparation/programs.ts';
import { figuresIn, type ColumnFigures, type Figures, type Report, type ScenarioFigures } from './report.ts';

/** Draws docs/lab.svg: milliseconds on a logarithmic axis, a row for each resolver. */

interface Mark {
  readonly title: string;
  readonly colour: string;
  readonly shape: 'disc' | 'ring' | 'square' | 'triangle' | 'diamond';
}

const BEFORE: Mark = { title: 'as it is', colour: '#b42318', shape: 'disc' };
const OURS: Mark = { title: 'patched', colour: '#175cd3', shape: 'disc' };
const LOCAL: Mark = { title: 'patched, node-local cache', colour: '#067647', shape: 'ring' };
const PEERS: Readonly<Record<string, Mark>> = {
  'peer-timeout': { title: 'timeout:1 attempts:2', colour: '#667085', shape: 'triangle' },
  'peer-appended': { title: 'nameserver appended', colour: '#667085', shape: 'diamond' },
  'peer-reopen': { title: 'single-request-reopen', colour: '#667085', shape: 'square' },
};

const MARKS: Readonly<Record<string, Mark>> = { before: BEFORE, ours: OURS, 'ours-local': LOCAL, ...PEERS };

/** The scenarios in the chart, in this order. */
const PANELS = ['raced', 'outside', 'mixed-cache-silent'];

const WIDTH = 960;
const LEFT = 270;
const RIGHT = 40;
const ROW = 32;
/** Vertical offset of other injectors' marks below ours. */
const BELOW = 9;
const LEAST = 1;
const MOST = 20_000;

const x = (ms: number): number =>
  LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(Math.max(ms, LEAST) / LEAST)) / Math.log(MOST / LEAST);

const escaped = (content: string): string =>
  content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function text(at: { x: number; y: number }, content: string, attributes = ''): string {
  return `<text x="${at.x.toFixed(1)}" y="${at.y.toFixed(1)}" ${attributes}>${escaped(content)}</text>\n`;
}

/** Shapes of marks, drawn around the origin. */
const SHAPES: Readonly<Record<Mark['shape'], (colour: string) => string>> = {
  disc: (colour) => `<circle r="5" fill="${colour}"/>`,
  ring: (colour) => `<circle r="7.5" fill="none" stroke="${colour}" stroke-width="2.5"/>`,
  square: (colour) => `<path d="M-4.5 -4.5h9v9h-9z" fill="#ffffff" stroke="${colour}" stroke-width="1.8"/>`,
  triangle: (colour) => `<path d="M0 -5.5l5.5 10h-11z" fill="#ffffff" stroke="${colour}" stroke-width="1.8"/>`,
  diamond: (colour) => `<path d="M0 -6l6 6l-6 6l-6 -6z" fill="#ffffff" stroke="${colour}" stroke-width="1.8"/>`,
};

const mark = ({ shape, colour }: Mark, cx: number, cy: number): string =>
  `<g transform="translate(${cx.toFixed(1)} ${cy.toFixed(1)})">${SHAPES[shape](colour)}</g>\n`;

/** Draws a line from the median to the worst look-up. */
function spread({ median, worst }: Figures, colour: string, y: number): string {
  return `<path d="M${x(median).toFixed(1)} ${y.toFixed(1)}H${x(worst).toFixed(1)}" stroke="${colour}" stroke-width="2" opacity="0.5"/>\n`;
}

function row(columns: readonly ColumnFigures[], resolver: ResolverId, y: number): string {
  const found = columns
    .map((column) => ({ mark: MARKS[column.id], figures: figuresIn(column, resolver) }))
    .filter((one): one is { mark: Mark; figures: Figures } => one.mark !== undefined && one.figures !== undefined);
  const level = (one: Mark): number => (Object.values(PEERS).includes(one) ? y + BELOW : y - 3);
  const spreads = found.map((one) => spread(one.figures, one.mark.colour, level(one.mark)));
  return [...spreads, ...found.map((one) => mark(one.mark, x(one.figures.median), level(one.mark)))].join('');
}

function axis(top: number, bottom: number): string {
  const ticks = [1, 10, 100, 1000, 10_000];
  return ticks
    .map((ms) => {
      const label = ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
      const at = x(ms).toFixed(1);
      const line = `<path d="M${at} ${top}V${bottom}" stroke="#d0d5dd"/>\n`;
      return line + text({ x: x(ms), y: bottom + 16 }, label, 'text-anchor="middle" font-size="12" fill="#475467"');
    })
    .join('');
}

function panel(
  scenario: ScenarioFigures,
  resolvers: Report['resolvers'],
  top: number,
): { svg: string; height: number } {
  const ids = (Object.keys(resolvers) as ResolverId[]).filter((id) =>
    scenario.columns.some((column) => figuresIn(column, id) !== undefined),
  );
  const first = top + 24;
  const bottom = first + ids.length * ROW;
  const title = text({ x: 16, y: top + 10 }, scenario.title, 'font-weight="bold"');
  const rows = ids.map((id, index) => {
    const y = first + index * ROW + ROW / 2;
    const label = text({ x: LEFT - 14, y: y + 4 }, resolvers[id] ?? id, 'text-anchor="end"');
    return label + row(scenario.columns, id, y);
  });
  return { svg: title + axis(first, bottom) + rows.join(''), height: bottom - top + 44 };
}

function legend(top: number): string {
  const places = [16, 190, 370, 16, 190, 370];
  return [BEFORE, OURS, LOCAL, ...Object.values(PEERS)]
    .map((one, index) => {
      const [at, y] = [places[index] ?? 16, top + (index < 3 ? 0 : 22)];
      return mark(one, at + 8, y) + text({ x: at + 22, y: y + 4 }, one.title);
    })
    .join('');
}

/** Returns the chart as an SVG document. */
export function chart(report: Report): string {
  const title = 'How long a look-up takes where the second packet is lost (median; the line ends at the worst)';
  let top = 102;
  let body = '';
  for (const id of PANELS) {
    const scenario = report.scenarios.find((one) => one.id === id);
    if (scenario === undefined) continue;
    const { svg, height } = panel(scenario, report.resolvers, top);
    body += svg;
    top += height;
  }
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}" role="img" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="#101828">\n`;
  const heading = text({ x: 16, y: 28 }, title, 'font-size="16" font-weight="bold"');
  return `${head}<title>${escaped(title)}</title>\n<rect width="100%" height="100%" fill="#ffffff"/>\n${heading}${legend(54)}${body}</svg>\n`;
}
