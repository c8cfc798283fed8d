const empty = new Uint8Array(0);

/** Reads a stream of chunks in pieces of a wanted size. Pulls a chunk only when the bytes held do not suffice. */
export interface ByteCursor {
  /** The next `length` bytes, fewer only where the stream ends. Holds at most `length` and one chunk. */
  take(length: number): Promise<Uint8Array>;
  /** Passes over `length` bytes without holding them; false where the stream ended before. */
  skip(length: number): Promise<boolean>;
  /** Bytes passed so far. */
  readonly position: number;
}

/** A cursor over `chunks`. The caller ends the iterator (by leaving the generator that owns it). */
export function byteCursor(chunks: AsyncIterator<Uint8Array>): ByteCursor {
  let held: Uint8Array = empty;
  let ended = false;
  let position = 0;

  const pull = async (): Promise<boolean> => {
    if (ended) return false;
    const next = await chunks.next();
    if (next.done === true) {
      ended = true;
      return false;
    }
    held = next.value;
    return true;
  };

  const shift = (length: number): Uint8Array => {
    const piece = held.subarray(0, length);
    held = held.subarray(piece.length);
    position += piece.length;
    return piece;
  };

  return {
    get position() {
      return position;
    },
    async take(length) {
      if (held.length >= length) return shift(length);
      const pieces: Uint8Array[] = [];
      let missing = length;
      while (missing > 0 && (held.length > 0 || (await pull()))) {
        const piece = shift(missing);
        missing -= piece.length;
        pieces.push(piece);
      }
      return Buffer.concat(pieces);
    },
    async skip(length) {
      let missing = length;
      while (missing > 0) {
        if (held.length === 0 && !(await pull())) return false;
        missing -= shift(missing).length;
      }
      return true;
    },
  };
}
