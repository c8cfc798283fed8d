/** A part of a stream that holds one document. */
export interface Slice {
  readonly start: number;
  readonly end: number;
  /** A JSON object that follows another one with no separator. */
  readonly adjacent: boolean;
  /** It follows `...` with no `---`: kubectl does not read it. */
  readonly unread: boolean;
}

const BOM = '\uFEFF';

const SEPARATOR = /(?<![^\n])(?:\uFEFF?---|\.\.\.)(?=[ \t\r\n]|$)[^\n]*\n?/g;

/** Comments and directives belong to the document that follows. */
const NO_CONTENT = /^\uFEFF?(?:[ \t]*(?:#[^\n]*|\r)?\n|%[^\n]*\n)*$/;

/**
 * Splits a stream into documents as kubectl does: at lines of `---`, and between JSON objects that follow each other. `...` ends a document
 * too. A slice begins with its separator, or behind a byte order mark. Source: k8s.io/apimachinery/pkg/util/yaml/decoder.go.
 */
export function splitDocuments(text: string): Slice[] {
  const slices: Slice[] = [];
  let start = 0;
  let unread = false;
  const endAt = (end: number): void => {
    if (end > start) slices.push(...objectsIn(text, withoutMark(text, start), end, unread));
    start = end;
  };
  for (const { 0: line, index } of text.matchAll(SEPARATOR)) {
    const isEnd = line.startsWith('...');
    if (isEnd) endAt(index + line.length);
    else if (!NO_CONTENT.test(text.slice(start, index))) endAt(index);
    unread = isEnd;
  }
  if (!unread || !NO_CONTENT.test(`${text.slice(start)}\n`)) endAt(text.length);
  return slices;
}

/** Returns where a document begins behind a byte order mark, which may stand before or behind its separator. */
function withoutMark(text: string, start: number): number {
  if (text.startsWith(BOM, start)) return start + BOM.length;
  const separator = /---[ \t]*(?:#[^\n]*)?\r?\n\uFEFF/y;
  separator.lastIndex = start;
  return separator.test(text) ? separator.lastIndex : start;
}

/** Splits JSON objects that follow each other; anything else stays one slice. */
function objectsIn(text: string, start: number, end: number, unread: boolean): Slice[] {
  const whole = [{ start, end, adjacent: false, unread }];
  const objects: Slice[] = [];
  let from = contentStart(text, start);
  while (text[from] === '{') {
    const to = objectEnd(text, from, end);
    if (to === undefined) return whole;
    objects.push({ start: from, end: to, adjacent: objects.length > 0, unread });
    from = to + (/^\s*/.exec(text.slice(to, end))?.[0].length ?? 0);
    if (from >= end) return objects.length > 1 ? objects : whole;
  }
  return whole;
}

/** Returns where the content begins behind the separator. */
function contentStart(text: string, start: number): number {
  const before = /(?:---[ \t]*\r?\n)?\s*/y;
  before.lastIndex = start;
  before.test(text);
  return before.lastIndex;
}

/** Returns the end of the JSON object that begins at `start`; undefined if there is none. */
function objectEnd(text: string, start: number, end: number): number | undefined {
  let depth = 0;
  let quoted = false;
  for (let at = start; at < end; at += 1) {
    const character = text[at];
    if (quoted && character === '\\') at += 1;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && character === '{') depth += 1;
    else if (!quoted && character === '}') depth -= 1;
    if (depth === 0) return isJson(text.slice(start, at + 1)) ? at + 1 : undefined;
  }
  return undefined;
}

/** Reports whether a text is JSON. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
