import { setImmediate as turn } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { createObjectMemory, type ObjectMemory } from '../../../src/cluster/pull-secrets.ts';

const FOREVER = 1e9;

function memory(characters: number): ObjectMemory<string> {
  return createObjectMemory({
    clock: { monotonic: () => 0 },
    closing: new AbortController().signal,
    characters,
    sizeOf: (value) => value.length,
    keepMs: FOREVER,
    keepFailureMs: FOREVER,
  });
}

/** Asks for objects one after the other; resolves to how many of them were read. */
async function ask(from: ObjectMemory<string>, names: readonly string[], value = 'v'): Promise<number> {
  let reads = 0;
  for (const name of names) {
    await from.get(name, async () => {
      reads += 1;
      return { value, good: true };
    });
  }
  return reads;
}

const names = (count: number, prefix = 'n'): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

describe('Secrets and service accounts, more than there is room for', () => {
  it('are remembered up to 5000; then the least recently used go', async () => {
    const objects = memory(Number.MAX_SAFE_INTEGER);
    await ask(objects, names(5100));
    expect(await ask(objects, ['n5099', 'n100'])).toBe(0);
    expect(await ask(objects, ['n0'])).toBe(1);
  });

  it('are remembered up to so many characters', async () => {
    const objects = memory(10_000);
    await ask(objects, names(20), 'x'.repeat(1000));
    expect(await ask(objects, ['n19'])).toBe(0);
    expect(await ask(objects, ['n0'])).toBe(1);
  });

  it('are read 8 at a time, and 500 wait; there is no answer for more', async () => {
    const objects = memory(1000);
    const never = new Promise<never>(() => {});
    let reading = 0;
    const answers = names(600).map((name) =>
      objects.get(name, () => {
        reading += 1;
        return never;
      }),
    );
    await turn();
    expect(reading).toBe(8);
    expect(answers.filter((answer) => answer === undefined)).toHaveLength(92);
  });
});
