/** Work under way, at most one piece for each key. */
interface Coalescer<T> {
  /** Returns the promise of the work under way for `key`; undefined if there is none. */
  get(key: string): Promise<T> | undefined;
  /** Returns the promise of the work under way for `key`, and begins `work` if there is none. Callers share a rejection too. */
  run(key: string, work: () => Promise<T>): Promise<T>;
  /** Keys with work under way. */
  readonly size: number;
}

/** Shares work among callers that ask for it at the same time. Remembers nothing: once work has settled, `run` begins anew. */
export function createCoalescer<T>(): Coalescer<T> {
  const underWay = new Map<string, Promise<T>>();
  return {
    get: (key) => underWay.get(key),
    run(key, work) {
      const known = underWay.get(key);
      if (known !== undefined) return known;
      const begun = work().finally(() => underWay.delete(key));
      underWay.set(key, begun);
      return begun;
    },
    get size() {
      return underWay.size;
    },
  };
}
