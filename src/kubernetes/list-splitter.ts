import { StringDecoder } from 'node:string_decoder';

import { KubeError } from './errors.ts';

/**
 * Cuts the JSON text of a list, `{"items":[…],"metadata":{…}}`, into its items while it is received, so that no more than a chunk and
 * one item is in memory. It only looks for brackets, commas and strings: whether the text is JSON shows when the parts are parsed.
 */
export interface ListSplitter {
  /**
   * Returns the texts of the items that end in this chunk, separated by commas; '' if none does. Throws {@link KubeError} (too-large)
   * at an item, or anything else beside the items, of more than `most` characters.
   */
  take(chunk: Buffer): string;
  /** Returns the text of the list without its items, after the last chunk. */
  rest(): string;
}

const [QUOTE = 0, BACKSLASH = 0, COMMA = 0, OPEN_LIST = 0, CLOSE_LIST = 0, OPEN_OBJECT = 0, CLOSE_OBJECT = 0] =
  Buffer.from('"\\,[]{}');

/** The begin of the items. The character before the quote shows that this is all of the key. */
const ITEMS_BEGIN = /[{,]\s*"items"\s*:\s*\[$/;

/** Characters in which that is looked for. */
const BEGIN_ROOM = 64;

export function createListSplitter(most: number): ListSplitter {
  const decoder = new StringDecoder('utf8');
  const strings = createStringSkipper();
  let depth = 0;
  let items: 'ahead' | 'here' | 'over' = 'ahead';
  let frame = '';
  /** The end of earlier chunks that is not cut yet; it goes on at `from` in this one. */
  let begun = '';
  let from = 0;

  function cut(text: string, end: number): string {
    const part = begun + text.slice(from, end);
    begun = '';
    from = end;
    return part;
  }

  function open(text: string, at: number): void {
    depth += 1;
    if (depth !== 2 || items !== 'ahead' || !beginsItems(text, at + 1, begun)) return;
    items = 'here';
    frame = cut(text, at + 1);
  }

  /** Returns the items that are left if the bracket at `at` ends them. */
  function close(text: string, at: number): string {
    depth -= 1;
    if (depth !== 1 || items !== 'here') return '';
    items = 'over';
    return cut(text, at);
  }

  function split(text: string): string {
    let found = '';
    let comma = -1;
    let at = 0;
    from = 0;
    while (at < text.length) {
      at = strings.skip(text, at);
      const code = text.charCodeAt(at);
      if (code === QUOTE) strings.begin();
      else if (code === OPEN_LIST || code === OPEN_OBJECT) open(text, at);
      else if (code === CLOSE_LIST || code === CLOSE_OBJECT) found += close(text, at);
      else if (code === COMMA && depth === 2) comma = at;
      at += 1;
    }
    if (items === 'here' && comma >= from) {
      found = cut(text, comma);
      from = comma + 1;
    }
    begun = cut(text, text.length);
    return found;
  }

  return {
    take(chunk) {
      const found = split(decoder.write(chunk));
      if (begun.length > most) throw new KubeError('too-large', `a part of a list is longer than ${most} characters`);
      return found;
    },
    rest: () => frame + begun + decoder.end(),
  };
}

/** Reports whether the items begin at `end`. `begun` is the text before this one. */
function beginsItems(text: string, end: number, begun: string): boolean {
  const before = end < BEGIN_ROOM ? begun.slice(-BEGIN_ROOM) : '';
  return ITEMS_BEGIN.test(before + text.slice(Math.max(0, end - BEGIN_ROOM), end));
}

interface StringSkipper {
  /** Notes that a string begins after its opening quote. */
  begin(): void;
  /** Returns the index after the end of the string that goes on at `at`: `at` if there is none, the length of `text` if it does not end. */
  skip(text: string, at: number): number;
}

function createStringSkipper(): StringSkipper {
  let isInside = false;
  let isEscaped = false;
  return {
    begin() {
      isInside = true;
    },
    skip(text, at) {
      if (!isInside) return at;
      for (let index = at; index < text.length; index += 1) {
        const code = text.charCodeAt(index);
        if (isEscaped) isEscaped = false;
        else if (code === BACKSLASH) isEscaped = true;
        else if (code === QUOTE) {
          isInside = false;
          return index + 1;
        }
      }
      return text.length;
    },
  };
}
