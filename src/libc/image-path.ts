import { printable } from '../util/text.ts';

/** Paths inside images: components joined by `/`, with no leading slash; the root is the empty string. */

const maxComponents = 64;
const maxShown = 200;

/** A path in that form: `.`, `..` and doubled slashes resolved by name; `..` does not climb above the root (path_resolution(7)). */
export function normalizePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/', maxComponents)) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** The directory a path stands in. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

/** Whether `later` does not come before `earlier` where each directory is listed by name, as Docker and `tar --sort=name` do. */
export function isInOrder(earlier: string, later: string): boolean {
  const before = earlier.split('/');
  const after = later.split('/');
  for (let at = 0; at < before.length; at += 1) {
    const one = before[at];
    const other = after[at];
    if (other === undefined || one === undefined) return false;
    if (one !== other) return Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
  }
  return true;
}

/** A path, or another name that an image has chosen, for people: one line of at most 200 characters. */
export const shownName = (name: string): string => printable(name, maxShown);
