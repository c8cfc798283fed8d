import { instructionParts } from '../instruction.ts';
import type { PageCell, PageDetail, PageTable } from '../page-data.ts';
import { copyButton } from './copy.ts';
import { element } from './element.ts';

const count = new Intl.NumberFormat('en');

/** Longer parts of a name may be cut anywhere: they would push other columns off the screen. */
const LONGEST_PART = 20;

/** Lets a name end its line behind a separator, and not in the middle of a word. */
function breakable(name: string): (Node | string)[] {
  const nodes: (Node | string)[] = [];
  for (const part of name.split(/(?<=[-./:@_])/)) {
    if (nodes.length > 0) nodes.push(element('wbr'));
    nodes.push(part.length > LONGEST_PART ? element('span', { class: 'long' }, part) : part);
  }
  return nodes;
}

function cellContent(cell: PageCell): (Node | string)[] {
  if (typeof cell === 'number') return [count.format(cell)];
  if (typeof cell === 'string') return [element('bdi', {}, ...(cell === '' ? ['–'] : breakable(cell)))];
  return cell.map(({ text, tone }) =>
    element('span', { class: `tag tone-${tone}` }, element('bdi', {}, ...breakable(text))),
  );
}

/** Colours added and removed lines; their signs stay for readers who cannot see colours. */
function diffLines(text: string): Node[] {
  const classes: Readonly<Record<string, string>> = { '+': 'come', '-': 'gone' };
  return text.split('\n').map((line) => element('span', { class: classes[line.charAt(0)] ?? 'kept' }, `${line}\n`));
}

function detailBody({ term, text, code }: PageDetail): (Node | string)[] {
  if (code === undefined) return [element('bdi', {}, text)];
  if (code === 'instruction') {
    return instructionParts(text).flatMap((part): (Node | string)[] =>
      part.isCommand ? [element('code', { class: 'command' }, part.text), copyButton(part.text)] : [part.text],
    );
  }
  // The element can scroll, so it must be reachable by keyboard.
  const block = element(
    'pre',
    { tabindex: '0', role: 'group', 'aria-label': term },
    ...(code === 'diff' ? diffLines(text) : [text]),
  );
  return code === 'diff' ? [block] : [block, copyButton(text)];
}

function detailList(details: readonly PageDetail[]): HTMLElement {
  const list = element('dl');
  for (const detail of details) {
    const { term } = detail;
    const body = detailBody(detail);
    list.append(element('div', {}, element('dt', {}, term), element('dd', {}, ...body)));
  }
  return list;
}

/**
 * Creates a row of a table. Its first cell is a button that shows or hides the details below the row. Roles are explicit
 * because narrow screens lay rows out as cards, and screen readers then no longer see a table.
 */
export function tableRow(table: PageTable, number: number): HTMLTableRowElement {
  const { cells, details } = table.rows[number] ?? { cells: [], details: [] };
  const row = element('tr', { role: 'row' });
  for (const [column, cell] of cells.entries()) {
    const { label = '', kind = 'text' } = table.columns[column] ?? {};
    const isHead = column === 0;
    const content = isHead
      ? [opener(row, `${table.id}-${number}`, table, details, cellContent(cell))]
      : cellContent(cell);
    row.append(
      isHead
        ? element('th', { role: 'rowheader', scope: 'row' }, ...content)
        : element('td', { role: 'cell', class: kind, 'data-label': label }, ...content),
    );
  }
  return row;
}

function opener(
  row: HTMLElement,
  id: string,
  { columns }: PageTable,
  details: readonly PageDetail[],
  content: readonly (Node | string)[],
): HTMLElement {
  const button = element('button', { type: 'button', class: 'open', 'aria-expanded': 'false' }, ...content);
  button.addEventListener('click', () => {
    const isOpen = button.getAttribute('aria-expanded') === 'true';
    if (isOpen) {
      row.nextElementSibling?.remove();
      button.removeAttribute('aria-controls');
    } else {
      const cell = element('td', { role: 'cell', colspan: String(columns.length) }, detailList(details));
      row.after(element('tr', { role: 'row', class: 'details', id }, cell));
      button.setAttribute('aria-controls', id);
    }
    button.setAttribute('aria-expanded', String(!isOpen));
  });
  return button;
}

/** Rows shown at first: few, so that the sections below stay near. */
const FIRST = 50;
/** Rows added at each press of the button. */
const NEXT = 250;

interface GrowingRows {
  readonly body: HTMLElement;
  /** Adds the next rows; hidden if there are no more. */
  readonly more: HTMLButtonElement;
  /** Replaces all rows. */
  readonly show: (rows: readonly number[]) => void;
  /** Adds rows until there are `upTo`; returns how many remain. */
  readonly fill: (upTo: number) => number;
}

const format = new Intl.NumberFormat('en');

/**
 * Creates a table body that shows the first rows at once and more at the press of a button. It does not grow while scrolling:
 * that would push away the section that the reader is scrolling to.
 */
export function growingRows(makeRow: (row: number) => HTMLTableRowElement): GrowingRows {
  const body = element('tbody', { role: 'rowgroup' });
  const more = element('button', { type: 'button', class: 'more' });
  let wanted: readonly number[] = [];
  let made = 0;

  const fill = (upTo: number): number => {
    if (upTo > made) body.append(...wanted.slice(made, upTo).map(makeRow));
    made = Math.min(Math.max(made, upTo), wanted.length);
    const left = wanted.length - made;
    more.hidden = left === 0;
    more.textContent = `Show ${format.format(Math.min(left, NEXT))} more of ${format.format(left)}`;
    return left;
  };
  more.addEventListener('click', () => {
    const next = made;
    fill(made + NEXT);
    // Keyboard users continue at the first new row.
    body.querySelectorAll<HTMLElement>('.open')[next]?.focus({ preventScroll: true });
  });
  const show = (rows: readonly number[]): void => {
    wanted = rows;
    made = 0;
    body.replaceChildren();
    fill(FIRST);
  };
  return { body, more, show, fill };
}
