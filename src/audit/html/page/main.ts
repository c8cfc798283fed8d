import type { PageData } from '../page-data.ts';
import { copyButton } from './copy.ts';
import { tableView, type TableView } from './table.ts';
import { themeToggle } from './theme.ts';

const data = JSON.parse(document.querySelector('#data')?.textContent ?? '') as PageData;

const views = new Map<string, TableView>();
for (const table of data.tables) {
  const place = document.querySelector(`#${table.id}`);
  const view = tableView(table);
  place?.replaceWith(view.root);
  const section = view.root.closest('section');
  if (section) views.set(section.id, view);
}

for (const command of document.querySelectorAll<HTMLElement>('.command')) {
  command.after(copyButton(command.textContent));
}

const theme = document.querySelector<HTMLButtonElement>('#theme');
if (theme) themeToggle(theme);

// A chart's link jumps to a table and filters it to what the bar counts.
document.addEventListener('click', ({ target }) => {
  const link = target instanceof Element ? target.closest<HTMLAnchorElement>('a[data-column]') : null;
  const { column, value } = link?.dataset ?? {};
  if (link && column !== undefined && value !== undefined) {
    const section = document.querySelector(link.hash)?.closest('section');
    views.get(section?.id ?? '')?.choose(column, value);
  }
});

addEventListener('beforeprint', () => {
  for (const view of views.values()) view.fillForPrint();
});
