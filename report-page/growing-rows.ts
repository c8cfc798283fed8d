import { element } from './element.ts';

/** Rows made at a time: what a screen or three hold. */
const SLICE = 100;

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

/** The rows of a table as they are wanted: the first ones at once, the next ones where their end comes into sight or is asked for. */
export function growingRows(makeRow: (row: number) => HTMLTableRowElement): GrowingRows {
  const body = element('tbody', { role: 'rowgroup' });
  const more = element('button', { type: 'button', class: 'more' });
  let wanted: readonly number[] = [];
  let made = 0;

  const fill = (upTo: number): number => {
    if (upTo > made) body.append(...wanted.slice(made, upTo).map(makeRow));
    made = Math.min(Math.max(made, upTo), wanted.length);
    more.hidden = made === wanted.length;
    const left = wanted.length - made;
    more.textContent = `Show more (${format.format(left)} left)`;
    return left;
  };
  const grow = (): void => void fill(made + SLICE);

  more.addEventListener('click', grow);
  const sight = new IntersectionObserver(
    (entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      grow();
      // An observer tells of changes: one that is still in sight has to be looked at anew.
      sight.unobserve(more);
      sight.observe(more);
    },
    { rootMargin: '600px' },
  );
  sight.observe(more);

  const show = (rows: readonly number[]): void => {
    wanted = rows;
    made = 0;
    body.replaceChildren();
    grow();
  };
  return { body, more, show, fill };
}
