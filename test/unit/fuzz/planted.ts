import type { Target } from '../../fuzz/targets.ts';

/** Readers with a defect each, and one without: `fuzz` has to tell them apart. */

const text = (input: Uint8Array): string => Buffer.from(input).toString();
const reader = (name: string, json: boolean, read: (input: string) => unknown): Target => ({
  name,
  json,
  mostBytes: 1 << 20,
  prepare: (input) => async () => void read(text(input)),
});

export const targets: readonly Target[] = [
  // Takes quadratic time for `apk --apk --`.
  reader('slow', false, (input) => /\bapk (?:--[\w-]+ )*add\b/u.test(input.slice(0, 200_000))),
  reader('growth', false, (input) => Buffer.alloc(20_000 * Math.min(5000, input.split('$(A)').length), 'a')),
  reader('throwing', true, (input) => {
    if (!input.includes('"a":[')) throw new TypeError('a is not iterable');
  }),
  reader('ending', true, (input) => {
    if (input.length > 20_000) process.kill(process.pid, 'SIGKILL');
  }),
  reader('sound', false, (input) => input.includes('y')),
];
