import type { WatchEvent } from './client.ts';
import { type KubeObject, objectKey } from './objects.ts';

export interface CopyOptions<T> {
  /** Returns what to remember of an object; undefined: the object is ignored. */
  readonly keep: (object: KubeObject) => T | undefined;
  /** Most objects that are remembered. Absent: all. */
  readonly most?: number;
  /** Called for each object beyond `most`. */
  readonly onTooMany?: (key: string) => void;
  /** Called after each change of what is remembered; `now` undefined: the object was deleted. */
  readonly onChange?: (key: string, now: T | undefined, before: T | undefined) => void;
}

/** Collects a list that is being read. */
export interface NewList {
  add(object: KubeObject): void;
  /** Removes an object that was deleted meanwhile. */
  remove(object: KubeObject): void;
  /** Replaces the copy's objects by the list's. */
  done(): void;
}

/** A copy of a collection of the API: what `keep` returns of each object. */
export interface CollectionCopy<T> {
  readonly items: ReadonlyMap<string, T>;
  /** Starts a new list, which replaces all objects once `done` is called. */
  list(): NewList;
  apply(event: WatchEvent): void;
}

export function createCollectionCopy<T>(options: CopyOptions<T>): CollectionCopy<T> {
  const { keep, onChange, most = Number.POSITIVE_INFINITY, onTooMany } = options;
  let items = new Map<string, T>();

  function add(to: Map<string, T>, key: string, kept: T): T | undefined {
    if (to.size >= most && !to.has(key)) {
      onTooMany?.(key);
      return undefined;
    }
    to.set(key, kept);
    return kept;
  }

  function replaceWith(found: Map<string, T>): void {
    const before = items;
    items = found;
    if (onChange === undefined) return;
    for (const [key, now] of found) onChange(key, now, before.get(key));
    for (const [key, old] of before) if (!found.has(key)) onChange(key, undefined, old);
  }

  return {
    get items() {
      return items;
    },
    list() {
      const found = new Map<string, T>();
      return {
        add(object) {
          const kept = keep(object);
          if (kept === undefined) found.delete(objectKey(object));
          else add(found, objectKey(object), kept);
        },
        remove: (object) => void found.delete(objectKey(object)),
        done: () => replaceWith(found),
      };
    },
    apply({ type, object }) {
      if (type === 'BOOKMARK') return;
      const key = objectKey(object);
      const before = items.get(key);
      const kept = type === 'DELETED' ? undefined : keep(object);
      const now = kept === undefined ? undefined : add(items, key, kept);
      if (now === undefined) items.delete(key);
      if (now !== undefined || before !== undefined) onChange?.(key, now, before);
    },
  };
}
