import { sleep } from './abort.ts';

/** What came of taking bytes: `share`: more than this user may hold; `pool`: more than all users together may. */
type Taken = 'taken' | 'share' | 'pool';

/** The part of a pool that one user may hold. */
interface Share {
  /** Counts bytes as held until `close`. Counts nothing unless it returns `taken`. */
  take(bytes: number): Taken;
  /** Counts bytes as given back. */
  give(bytes: number): void;
  /** Waits until the pool is less than three quarters full, at most `ms` milliseconds. Returns false if it stays full. */
  room(ms: number, signal: AbortSignal): Promise<boolean>;
  /** Gives all bytes back. */
  close(): void;
}

/** A bound on the bytes that all users hold together. */
export interface BytePool {
  readonly held: number;
  share(bytes: number): Share;
}

const fullAt = 0.75;
const pauseMs = 20;

export function createBytePool(bytes: number): BytePool {
  let held = 0;
  const isFull = (): boolean => held >= bytes * fullAt;
  return {
    get held() {
      return held;
    },
    share(most) {
      let own = 0;
      return {
        take(wanted) {
          if (own + wanted > most) return 'share';
          if (held + wanted > bytes) return 'pool';
          own += wanted;
          held += wanted;
          return 'taken';
        },
        give(back) {
          own -= back;
          held -= back;
        },
        async room(ms, signal) {
          const end = performance.now() + ms;
          while (isFull()) {
            if (performance.now() >= end) return false;
            await sleep(pauseMs, signal);
          }
          return true;
        },
        close() {
          held -= own;
          own = 0;
        },
      };
    },
  };
}

/** Returns the bytes that V8 keeps for a text: one a character if all are Latin-1, else two, and a header. */
export function textBytes(text: string): number {
  return 16 + (/[\u0100-\uFFFF]/.test(text) ? 2 * text.length : text.length);
}

/**
 * Makes V8 collect its garbage now and give unused pages back to the system. Without it, a server that has read ten thousand
 * objects at its start keeps their garbage: a third of its memory. Does nothing if Node runs without `--expose-gc`, which the
 * chart sets. The ways to reach `gc` without that flag make a second V8 context, which slows every request down by a fifth.
 */
export function collectGarbage(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
