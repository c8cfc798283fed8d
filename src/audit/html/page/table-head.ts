import type { PageTable } from '../page-data.ts';
import { element } from './element.ts';
import type { Order } from './selection.ts';

export interface Head {
  readonly root: HTMLElement;
  /** Absent: in the report's own order. */
  readonly order: () => Order | undefined;
}

/** Numbers start with the greatest, text with A; the third press gives the report's own order back. */
function nextOrder(current: Order | undefined, column: number, isNumber: boolean): Order | undefined {
  if (current?.column !== column) return { column, descending: isNumber };
  return current.descending === isNumber ? { column, descending: !isNumber } : undefined;
}

const ariaSort = (order: Order | undefined, column: number): string => {
  if (order?.column !== column) return 'none';
  return order.descending ? 'descending' : 'ascending';
};

/** Column heads: a button each that sorts. `changed` is called after each press. */
export function tableHead({ columns }: PageTable, changed: () => void): Head {
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
