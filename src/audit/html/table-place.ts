import { html, type Markup } from './markup.ts';

/**
 * Where the script puts a table. Until then, and where no script runs, it says so: `<noscript>` would be silent where a viewer
 * (a mail program, a ticket system) keeps scripts from running without being a browser that has them turned off.
 */
export const tablePlace = (id: string): Markup =>
  html`<div id="${id}" class="note">
    This table needs JavaScript. Without: <code>libc-dns audit -o markdown</code>, or <code>-o json</code>.
  </div>`;
