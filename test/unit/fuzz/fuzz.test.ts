import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { fuzz, type Fuzzed, readCorpus } from '../../fuzz/fuzz.ts';
import { mutate } from '../../fuzz/mutate.ts';
import { createRandom } from '../../fuzz/random.ts';
import { targets } from '../../fuzz/targets.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const corpusOf = (target: string): Uint8Array[] => readCorpus(here(`../../fuzz/corpus/${target}`));

const tryPlanted = (name: string, timeMs = 60_000): Promise<Fuzzed> =>
  fuzz({ module: here('planted.ts'), corpus: here('corpus'), only: [name], seed: 1, timeMs, mostFindings: 1 });

describe('a planted defect is found', () => {
  it.each([
    ['slow', /ms of one thread$/],
    ['growth', /MiB of memory$/],
    ['throwing', /^TypeError: a is not iterable/],
    ['ending', /^ended the process \(SIGKILL\)$/],
  ])(
    '%s',
    async (name, why) => {
      const { findings } = await tryPlanted(name);
      expect(findings).toMatchObject([{ target: name, why: expect.stringMatching(why) as string }]);
    },
    90_000,
  );

  it('and none in a sound reader', async () => {
    const { findings, tried } = await tryPlanted('sound', 2000);
    expect(findings).toEqual([]);
    expect(tried.get('sound')?.inputs).toBeGreaterThan(10);
  }, 30_000);
});

describe('inputs', () => {
  const changes = (seed: number): string[] => {
    const random = createRandom(seed);
    const base = Buffer.from('{"a":[1,{"b":"c"}]}');
    return Array.from({ length: 50 }, () => Buffer.from(mutate(base, random, 10_000, true)).toString('base64'));
  };

  it('come by the seed alone', () => {
    expect(changes(1)).toEqual(changes(1));
    expect(changes(1)).not.toEqual(changes(2));
    expect(new Set(changes(1)).size).toBeGreaterThan(30);
  });

  it('are never longer than a reader takes', () => {
    const random = createRandom(3);
    for (let time = 0; time < 500; time += 1) {
      expect(mutate(Buffer.from('[1,"two"]'), random, 1000, true).length).toBeLessThanOrEqual(1000);
    }
  });
});

it.each(targets.map((target) => [target.name, target] as const))(
  'the corpus of %s is read without a defect',
  async (name, target) => {
    const inputs = corpusOf(name);
    expect(inputs.length).toBeGreaterThan(0);
    for (const input of inputs) await target.prepare(input)();
  },
  60_000,
);
