import type { PageTable } from '../page-data.ts';
import { element } from './element.ts';
import { values } from './selection.ts';

/** Values offered by one filter; the search finds the others. */
const MOST_VALUES = 1000;

interface Toolbar {
  readonly root: HTMLElement;
  readonly search: HTMLInputElement;
  /** The value that rows must have, by column. */
  readonly chosen: () => Map<number, string>;
  /** Sets this filter, clears the others and the search. Returns false if the column has no filter. */
  readonly choose: (column: number, value: string) => boolean;
}

/** Prefix of option values: a value may be empty, and the empty option means all. */
const PREFIX = '=';

function selectOf(table: PageTable, column: number): HTMLSelectElement {
  const options = values(table, column)
    .slice(0, MOST_VALUES)
    .map(([value, rows]) => element('option', { value: PREFIX + value }, `${value === '' ? 'none' : value} (${rows})`));
  return element('select', {}, element('option', { value: '' }, 'all'), ...options);
}

function selectsOf(table: PageTable): Map<number, HTMLSelectElement> {
  const selects = new Map<number, HTMLSelectElement>();
  for (const [column, { choice }] of table.columns.entries()) if (choice) selects.set(column, selectOf(table, column));
  return selects;
}

/** Creates the search field and the filters, with `status` (the number of rows found) beside them. */
export function toolbar(table: PageTable, status: HTMLElement): Toolbar {
  const [, several] = table.noun;
  const search = element('input', {
    type: 'search',
    placeholder: `Search ${several} and their details`,
    'aria-label': `Search ${several}`,
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const selects = selectsOf(table);
  const labels = [...selects].map(([column, select]) =>
    element('label', {}, element('span', {}, table.columns[column]?.label ?? ''), select),
  );
  return {
    root: element('div', { class: 'toolbar', role: 'search', 'aria-label': several }, search, ...labels, status),
    search,
    chosen: () => {
      const made = [...selects].filter(([, { value }]) => value !== '');
      return new Map(made.map(([column, { value }]) => [column, value.slice(PREFIX.length)]));
    },
    choose: (column, value) => {
      const select = selects.get(column);
      if (select === undefined) return false;
      search.value = '';
      for (const other of selects.values()) other.value = '';
      select.value = PREFIX + value;
      return true;
    },
  };
}
