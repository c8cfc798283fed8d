import { LRUCache } from 'lru-cache';

import { createSlots } from '../detection/flights.ts';
import type { ReadObject } from './pull-secret-api.ts';

export interface ObjectMemoryOptions<T> {
  /** Milliseconds for which what was read is used again. */
  readonly keepMs: number;
  /** The same where it was not there or of no use. */
  readonly keepFailureMs: number;
  /** Most characters that are held, over all objects. */
  readonly characters: number;
  readonly sizeOf: (value: T) => number;
  readonly clock: { monotonic(): number };
  /** Ends all reading. */
  readonly closing: AbortSignal;
}

/** Objects of the API that were read a moment ago. */
export interface ObjectMemory<T> {
  /**
   * The object of this key, by `read` where it is not remembered: once, for all who ask while it is under way. Undefined
   * where too many others are being read. Rejects with what `read` rejects with.
   */
  get(key: string, read: () => Promise<ReadObject<T>>): Promise<ReadObject<T>> | undefined;
}

/** Reads under way at once, and waiting: whoever creates Pods chooses how many objects are asked for. */
const AT_ONCE = 8;
const WAITING = 500;
const MOST_OBJECTS = 5000;
const OWN_SIZE = 200;

export function createObjectMemory<T>(options: ObjectMemoryOptions<T>): ObjectMemory<T> {
  const { clock, sizeOf } = options;
  const kept = new LRUCache<string, ReadObject<T> & { readonly until: number }>({
    max: MOST_OBJECTS,
    maxSize: options.characters,
    sizeCalculation: ({ value }, key) => OWN_SIZE + key.length + sizeOf(value),
  });
  const underWay = new Map<string, Promise<ReadObject<T>>>();
  const slots = createSlots(AT_ONCE, WAITING);
  const begin = (key: string, read: () => Promise<ReadObject<T>>): Promise<ReadObject<T>> | undefined => {
    const slot = slots.enter(options.closing);
    if (slot === undefined) return undefined;
    const reading = slot
      .then(async (release) => await read().finally(release))
      .then((object) => {
        const until = clock.monotonic() + (object.good ? options.keepMs : options.keepFailureMs);
        kept.set(key, { ...object, until });
        return object;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, reading);
    return reading;
  };
  return {
    get(key, read) {
      const known = kept.get(key);
      if (known !== undefined && known.until > clock.monotonic()) return Promise.resolve(known);
      return underWay.get(key) ?? begin(key, read);
    },
  };
}
