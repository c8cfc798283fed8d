const code = (character: string): number => character.charCodeAt(0);
const [QUOTE, BACKSLASH, COMMA, COLON] = [code('"'), code('\\'), code(','), code(':')];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [code('['), code(']'), code('{'), code('}')];

/** Bytes of a string that are looked at one by one before the rest is searched: a search costs as much as some dozens of them. */
const STEP = 48;

/** Returns the index of the quote that ends the string whose contents begin at `at`; the length of `body` or more if none does. */
export function endOfString(body: Uint8Array, at: number): number {
  const last = Math.min(at + STEP, body.length);
  while (at < last && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at < last ? at : endOfLongString(body, at);
}

/** Searches for the quote. `at` is not the second character of an escape. */
function endOfLongString(body: Uint8Array, at: number): number {
  while (at < body.length) {
    const quote = body.indexOf(QUOTE, at);
    if (quote === -1) return body.length;
    let escapes = quote;
    while (escapes > at && body[escapes - 1] === BACKSLASH) escapes -= 1;
    if ((quote - escapes) % 2 === 0) return quote;
    // Where quotes are escaped, more of them follow.
    at = quote + 1;
    const last = Math.min(at + STEP, body.length);
    while (at < last && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  }
  return at;
}

/** What untrusted JSON may hold. */
export interface JsonBounds {
  /** Levels of lists and objects, one within another. */
  readonly depth: number;
  /** Values in all lists and objects together, roughly: commas, and lists and objects themselves. */
  readonly values: number;
}

/**
 * Reports whether the JSON in `body` (UTF-8) goes beyond the bounds. Takes linear time, allocates nothing, and stops at the first level
 * or value too many. Of bytes that are not JSON it judges what a parser reads before it fails.
 */
export function exceeds(body: Uint8Array, { depth, values }: JsonBounds): boolean {
  let [level, seen] = [0, 0];
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at] ?? 0;
    // Spaces and numbers.
    if (byte < QUOTE || (byte > COMMA && byte < OPEN_LIST)) continue;
    if (byte === QUOTE) at = endOfString(body, at + 1);
    else if (byte === COMMA) seen += 1;
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      level += 1;
      seen += 1;
      if (level > depth) return true;
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) level -= 1;
    if (seen > values) return true;
  }
  return false;
}

// Far more than an image manifest has: one of 160 layers with annotations has 1,500. Without such bounds 4 MiB can keep JSON.parse busy for
// half a second, and 50,000 names that differ for 0.15 s, of a thread that reads the images of others too.
const usualBounds: JsonBounds = { depth: 64, values: 10_000 };

/** Parses untrusted JSON (UTF-8) within bounds. Returns undefined if it is beyond them, or no JSON. */
export function parseBoundedJson(body: Uint8Array, bounds: JsonBounds = usualBounds): unknown {
  if (exceeds(body, bounds)) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    // The error quotes its input, which may hold a secret.
    return undefined;
  }
}

/** How `itemsOf` ended. */
type ItemsEnd = 'whole' | 'damaged';

/**
 * Yields the bytes of each item of the list under `name` in a JSON object, in order. Takes linear time, and allocates nothing
 * for what it does not yield. Checks brackets and commas between the items, but not what it passes over: parse the items.
 * Ends as `damaged` if the text is not an object with that list, once. Takes `name` (ASCII) only as it is: no writer escapes it.
 */
export function* itemsOf(body: Uint8Array, name: string): Generator<Uint8Array, ItemsEnd, undefined> {
  let seen = false;
  let at = afterSpace(body, 0);
  if (body[at] !== OPEN_OBJECT) return 'damaged';
  do {
    const from = afterSpace(body, at + 1);
    const end = body[from] === QUOTE ? endOfString(body, from + 1) + 1 : body.length;
    const colon = afterSpace(body, end);
    if (body[colon] !== COLON) return 'damaged';
    at = afterSpace(body, colon + 1);
    if (isKey(body.subarray(from, end), name)) {
      if (seen || body[at] !== OPEN_LIST) return 'damaged';
      seen = true;
      at = yield* listItems(body, at);
    } else at = endOfValue(body, at);
    at = afterSpace(body, at);
  } while (body[at] === COMMA);
  return seen && body[at] === CLOSE_OBJECT ? 'whole' : 'damaged';
}

/** Yields the items of the list that opens at `open`. Returns the index after the list, or the length of a damaged text. */
function* listItems(body: Uint8Array, open: number): Generator<Uint8Array, number, undefined> {
  let at = afterSpace(body, open + 1);
  if (body[at] === CLOSE_LIST) return at + 1;
  for (;;) {
    const end = endOfValue(body, at);
    yield body.subarray(at, end);
    if (body[end] === CLOSE_LIST) return end + 1;
    if (body[end] !== COMMA) return body.length;
    at = afterSpace(body, end + 1);
  }
}

/** Returns the index of the comma or bracket that follows the value at `at`. */
function endOfValue(body: Uint8Array, from: number): number {
  let level = 0;
  for (let at = from; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === QUOTE) at = endOfString(body, at + 1);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) level += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT || byte === COMMA) {
      if (level === 0) return at;
      if (byte !== COMMA) level -= 1;
    }
  }
  return body.length;
}

function afterSpace(body: Uint8Array, from: number): number {
  let at = from;
  while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at += 1;
  return at;
}

function isKey(text: Uint8Array, name: string): boolean {
  return (
    text.length === name.length + 2 &&
    Buffer.from(text.buffer, text.byteOffset, text.length).toString('latin1') === `"${name}"`
  );
}
