import { element } from './element.ts';

/** Rows made at first, so that the sections below stay near. */
const FIRST = 50;
/** Rows made at each press. */
const NEXT = 250;

export interface GrowingRows {
  readonly body: HTMLElement;
  /** Makes the next rows; hidden when there are none. */
  readonly more: HTMLButtonElement;
  /** Begins again with other rows. */
  readonly show: (rows: readonly number[]) => void;
  /** Makes rows until there are so many; returns how many are left. */
  readonly fill: (upTo: number) => number;
}

const format = new Intl.NumberFormat('en');

/**
 * The rows of a table as they are wanted: the first ones at once, the next ones when asked for. Not by scrolling: a table that
 * grows when it is passed pushes away what the reader is on the way to.
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
    // Whoever pressed it goes on with the first of the new rows.
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
