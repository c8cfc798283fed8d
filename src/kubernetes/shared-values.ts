import type { Verdict } from '../policy/verdict.ts';

/** One copy of what thousands of objects say alike. */
export interface SharedValues {
  text(text: string): string;
  verdict(verdict: Verdict): Verdict;
}

export const UNSHARED: SharedValues = { text: (text) => text, verdict: (verdict) => verdict };

/** Images of one base say the same by the hundred; what is said once must not push that out for ever, so all begins anew. */
function createPool<T>(most: number): (key: string, value: T) => T {
  const pool = new Map<string, T>();
  return (key, value) => {
    const known = pool.get(key);
    if (known !== undefined) return known;
    if (pool.size >= most) pool.clear();
    pool.set(key, value);
    return value;
  };
}

/** Remembers `most` of each. */
export function createSharedValues(most = 1000): SharedValues {
  const texts = createPool<string>(most);
  const verdicts = createPool<Verdict>(most);
  return {
    text: (text) => texts(text, text),
    verdict(verdict) {
      const { resolver, libc, evidence } = verdict;
      return verdicts([resolver, libc, evidence.source, evidence.confidence, evidence.detail].join(' '), verdict);
    },
  };
}
