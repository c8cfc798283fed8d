import type { PageTable } from '../page-data.ts';
import { element } from './element.ts';
import { growingRows, tableRow } from './rows.ts';
import { indexed, type Order, select } from './selection.ts';
import { toolbar } from './toolbar.ts';

/** Rows printed of each table: about a dozen pages. */
const PRINTED = 500;

export interface TableView {
  readonly root: HTMLElement;
  /** Sets one filter and clears the search; does nothing if there is no such filter. */
  readonly choose: (column: string, value: string) => void;
  /** Adds the rows to print. */
  readonly fillForPrint: () => void;
}

const format = new Intl.NumberFormat('en');

function statusText({ rows, noun }: PageTable, found: number): string {
  const all = `${format.format(rows.length)} ${noun[rows.length === 1 ? 0 : 1]}`;
  return found === rows.length ? all : `${format.format(found)} of ${all}`;
}

/** Creates a table with search, filters and sorting over all rows. Only the visible rows are created. */
export function tableView(table: PageTable): TableView {
  const index = indexed(table);
  const status = element('p', { role: 'status' });
  const bar = toolbar(table, status);
  const rows = growingRows((number) => tableRow(table, number));

  const update = (): void => {
    const order = head.order();
    const found = select(index, { search: bar.search.value, choices: bar.chosen(), ...(order && { order }) });
    rows.show(found);
    status.textContent = statusText(table, found.length);
  };
  const head = tableHead(table, update);
  bar.root.addEventListener('input', update);
  update();

  const grid = element('table', { role: 'table', 'aria-label': table.noun[1] }, head.root, rows.body);
  const unprinted = element('p', { class: 'unprinted' });
  return {
    root: element('div', { class: 'table' }, bar.root, grid, rows.more, unprinted),
    choose: (label, value) => {
      const column = table.columns.findIndex((one) => one.label === label);
      if (bar.choose(column, value)) update();
    },
    fillForPrint: () => {
      const left = rows.fill(PRINTED);
      unprinted.textContent = left === 0 ? '' : `${format.format(left)} more are not printed: search to choose which.`;
    },
  };
}

interface Head {
  readonly root: HTMLElement;
  /** undefined for the report's own order. */
  readonly order: () => Order | undefined;
}

/** Numbers sort descending first, text ascending; the third press restores the report's own order. */
function nextOrder(current: Order | undefined, column: number, isNumber: boolean): Order | undefined {
  if (current?.column !== column) return { column, descending: isNumber };
  return current.descending === isNumber ? { column, descending: !isNumber } : undefined;
}

const ariaSort = (order: Order | undefined, column: number): string => {
  if (order?.column !== column) return 'none';
  return order.descending ? 'descending' : 'ascending';
};

/** Creates column heads with sort buttons. Calls `changed` after each press. */
function tableHead({ columns }: PageTable, changed: () => void): Head {
  let order: Order | undefined;
  const cells = columns.map(({ label, kind }, column) => {
    const button = element('button', { type: 'button' }, label);
    button.addEventListener('click', () => {
      order = nextOrder(order, column, kind === 'number');
      for (const [index, cell] of cells.entries()) cell.setAttribute('aria-sort', ariaSort(order, index));
      changed();
    });
    return element('th', { role: 'columnheader', scope: 'col', class: kind, 'aria-sort': 'none' }, button);
  });
  const row = element('tr', { role: 'row' }, ...cells);
  return { root: element('thead', { role: 'rowgroup' }, row), order: () => order };
}
