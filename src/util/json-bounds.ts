const code = (character: string): number => character.charCodeAt(0);
const [QUOTE, BACKSLASH] = [code('"'), code('\\')];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [code('['), code(']'), code('{'), code('}')];

/** Returns the index of the quote that ends the string whose contents begin at `at`; the length of `body` or more if none does. */
export function endOfString(body: Uint8Array, at: number): number {
  while (at < body.length && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at;
}

/**
 * Reports whether the JSON in `body` (UTF-8) nests lists and objects more than `depth` levels deep. Takes linear time, allocates
 * nothing, and stops at the first level too many. Of bytes that are not JSON it judges what a parser reads before it fails.
 */
export function exceedsNesting(body: Uint8Array, depth: number): boolean {
  let level = 0;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === QUOTE) at = endOfString(body, at + 1);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      level += 1;
      if (level > depth) return true;
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) level -= 1;
  }
  return false;
}
