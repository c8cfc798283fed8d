import { readFileSync } from 'node:fs';

export const page = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** The rows of all tables under a heading, cells trimmed and without back-ticks; of the whole page where none is named. */
export function rows(text: string, heading?: string): string[][] {
  const from = heading === undefined ? 0 : text.indexOf(`\n${heading}\n`);
  if (from < 0) throw new Error(`no heading ${heading}`);
  const level = /^#+/.exec(heading ?? '')?.[0].length ?? 0;
  const next = text.slice(from + 1).search(new RegExp(`\n#{1,${Math.max(1, level)}} `));
  const part = next < 0 || heading === undefined ? text.slice(from) : text.slice(from, from + 1 + next);
  return part
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s|:-]+\|$/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** `name` of a cell that is "`name`". */
export const code = (cell: string | undefined): string | undefined => /^`([^`]+)`/.exec(cell ?? '')?.[1];

/** What links may name in a page, as GitHub makes it of headings. */
export const anchors = (text: string): string[] =>
  [...text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
