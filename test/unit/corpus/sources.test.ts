import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildCorpus } from '../../corpus/build.ts';
import { GLIBC, type CorpusImage } from '../../corpus/corpus-image.ts';
import { corpusImages } from '../../corpus/images.ts';
import { summarise, textReport } from '../../corpus/report.ts';
import type { Sources } from '../../corpus/sources.ts';
import { MissingSource, openCache } from '../../corpus/sources/cache.ts';
import { command } from '../../corpus/sources/command.ts';
import { image } from '../../support/image-builder.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'corpus-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe('the cache', () => {
  it('makes bytes once, and not again in another run', async () => {
    let made = 0;
    const make = (): Promise<Buffer> => Promise.resolve(Buffer.from(String((made += 1))));
    const cache = await openCache(directory);
    const both = await Promise.all([cache.keep('key', make), cache.keep('key', make)]);
    const later = await (await openCache(directory)).keep('key', make);
    expect([...both, later].map(String)).toEqual(['1', '1', '1']);
    expect(String(await cache.keep('another key', make))).toBe('2');
  });

  it('keeps nothing of what failed', async () => {
    const cache = await openCache(directory);
    await expect(cache.keep('key', () => Promise.reject(new MissingSource('no gcc')))).rejects.toThrow('no gcc');
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('command', () => {
  it.each([
    ['an absent program', 'no-such-program', [], 'no-such-program is not installed'],
    ['a program that fails silently', process.execPath, ['-e', 'process.exit(3)'], 'failed: 3'],
    [
      'a program that fails',
      process.execPath,
      ['-e', 'console.error("first\\nlast"); process.exit(3)'],
      'failed: last',
    ],
  ] as const)('says that %s is a missing source', async (_, name, args, message) => {
    await expect(command(name, args)).rejects.toThrow(message);
    await expect(command(name, args)).rejects.toBeInstanceOf(MissingSource);
  });
});

describe('building the corpus', () => {
  const entry = (name: string, build: CorpusImage['build']): CorpusImage => ({
    name,
    kind: 'no image',
    trap: '',
    truth: GLIBC,
    budget: 'program',
    build,
  });
  const good = entry('good', () => Promise.resolve(image({ layers: [] })));
  const missing = entry('missing', () => Promise.reject(new MissingSource('go is not installed')));
  const sources = {} as Sources;

  it('lists what this machine cannot make, and never counts it as right', async () => {
    const corpus = await buildCorpus([good, missing], sources);
    expect(corpus.built.map((one) => one.entry.name)).toEqual(['good']);
    expect(corpus.skipped).toEqual([{ entry: missing, reason: 'go is not installed' }]);
    const summary = summarise(corpus, []);
    expect(summary).toMatchObject({ images: 0, skipped: 1, right: 0 });
    expect(textReport(corpus, [], summary)).toMatch(
      /^!! 1 OF 2 IMAGES OF THE CORPUS WERE LEFT OUT: go is not installed$/m,
    );
  });

  it('does not hide a defect of its own', async () => {
    const broken = entry('broken', () => Promise.reject(new TypeError('defect')));
    await expect(buildCorpus([broken], sources)).rejects.toThrow('defect');
  });

  it('gives each image a name of its own that a registry accepts', () => {
    const names = corpusImages.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name))).toEqual([]);
  });
});

describe('the summary', () => {
  const outcome = { error: 'not-found' as const, message: '' };
  const measured = (grade: 'right' | 'unknown' | 'WRONG', overruns: string[] = []) => ({
    entry: corpusImages[0]!,
    outcome,
    grade,
    first: outcome,
    firstGrade: grade,
    scan: undefined,
    requests: 3,
    bytes: 1000,
    share: 0.1,
    milliseconds: [1, 2, 3],
    copy: { bytes: 10_000, by: 'sum' as const },
    overruns,
  });
  const found = (confidence: number) => ({
    verdict: { resolver: 'musl', libc: 'musl', evidence: { source: 'executable', detail: '', confidence } } as const,
  });
  const right = Array.from({ length: 19 }, () => measured('right'));
  const corpus = { built: [], skipped: [] };

  it.each([
    ['95 % right', [...right, measured('unknown')], []],
    ['less than that', [...right, measured('unknown'), measured('unknown')], ['fewer than 95 % right']],
    ['one wrong', [...right, measured('WRONG')], ['1 wrong']],
    [
      'a first look that was sure and wrong',
      [...right, { ...measured('right'), first: found(0.93), firstGrade: 'WRONG' as const }],
      ['wrong at 0.9 or more'],
    ],
    [
      'a first look that was wrong, not sure',
      [...right, { ...measured('right'), first: found(0.55), firstGrade: 'WRONG' as const }],
      [],
    ],
    ['a broken budget', [...right, measured('right', ['7 requests of 6'])], ['1 over budget']],
  ])('%s', (_, measurements, failures) => {
    expect(summarise(corpus, measurements).failures).toEqual(failures);
  });
});
