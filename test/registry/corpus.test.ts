import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCorpus, type Corpus } from '../corpus/build.ts';
import { grade, LEAST_RIGHT, MAX_BYTES, MAX_REQUESTS, type Outcome } from '../corpus/grade.ts';
import { corpusImages } from '../corpus/images.ts';
import { lookUp, type LookUp } from '../corpus/look-up.ts';
import { lookUpAll, serve } from '../corpus/run.ts';
import { CACHE_DIRECTORY, openSources } from '../corpus/sources.ts';
import { hasDebianRegistry, startDebianRegistry } from '../support/debian-registry.ts';
import type { RegistryServer } from '../support/registry-server.ts';

/** A machine that has none of the sources yet fetches and compiles for some minutes. */
const FIRST_RUN = 900_000;

/** What Debian's docker-registry takes from nobody: schema 1 without a signature, an index in an index. */
const UNACCEPTED = ['schema-1', 'index-in-index'];

let corpus: Corpus;
let registry: RegistryServer;
const found = new Map<string, LookUp>();

beforeAll(async () => {
  corpus = await buildCorpus(corpusImages, await openSources(CACHE_DIRECTORY));
  registry = await serve(corpus);
  const lookUps = await lookUpAll(corpus, registry.host);
  corpus.built.forEach(({ entry }, index) => found.set(entry.name, lookUps[index]!));
}, FIRST_RUN);

afterAll(async () => {
  await registry?.close();
});

/** What two registries must agree on: error messages name the registry. */
function essence(outcome: Outcome): unknown {
  return 'error' in outcome ? outcome.error : outcome;
}

describe('the corpus', () => {
  it.each(corpusImages)('$name: $trap', (entry) => {
    const lookedUp = found.get(entry.name);
    if (lookedUp === undefined) {
      const reason = corpus.skipped.find((one) => one.entry === entry)?.reason;
      console.warn(`SKIPPED ${entry.name}: ${reason}`);
      return;
    }
    const { outcome, meter } = lookedUp;
    const graded = { truth: entry.truth, outcome, grade: grade(entry.truth, outcome) };
    expect(graded).not.toMatchObject({ grade: 'WRONG' });
    expect(meter.requests).toBeLessThanOrEqual(MAX_REQUESTS);
    expect(meter.bytes).toBeLessThanOrEqual(MAX_BYTES[entry.budget]);
  });

  it('has at least 240 images, five of each kind, wherever compilers and Debian packages are', () => {
    if (corpus.skipped.length > 0) {
      console.warn(`SKIPPED ${corpus.skipped.length} of ${corpusImages.length} images: see test/corpus/sources.ts`);
    }
    expect(corpus.built.length + corpus.skipped.length).toBe(corpusImages.length);
    expect(corpusImages.length).toBeGreaterThanOrEqual(240);
    const kinds = Object.values(Object.groupBy(corpusImages, ({ kind }) => kind));
    expect(kinds.filter((some) => some.length < 5 && some[0]?.kind !== 'no image')).toEqual([]);
  });

  it('is answered right for at least 95 %', () => {
    const entries = corpus.built.map(({ entry }) => entry);
    const notRight = entries
      .filter(({ name, truth }) => grade(truth, found.get(name)!.outcome) !== 'right')
      .map(({ name }) => name);
    if (notRight.length > 0) console.warn(`not right: ${notRight.join(', ')}`);
    expect(notRight.length / entries.length).toBeLessThanOrEqual(1 - LEAST_RIGHT);
  });

  it.skipIf(!hasDebianRegistry)(
    "gets the same verdicts from Debian's docker-registry (skipped where it is not installed)",
    async () => {
      const accepted = corpus.built.filter(({ entry }) => !UNACCEPTED.includes(entry.name));
      const images = Object.fromEntries(accepted.map(({ entry, image }) => [entry.name, image]));
      const debian = await startDebianRegistry({ images });
      try {
        const differences: unknown[] = [];
        for (const { entry } of accepted) {
          const there = essence((await lookUp(debian.host, entry)).outcome);
          const here = essence(found.get(entry.name)!.outcome);
          if (JSON.stringify(there) !== JSON.stringify(here)) differences.push({ name: entry.name, here, there });
        }
        expect(differences).toEqual([]);
      } finally {
        await debian.close();
      }
    },
    120_000,
  );
});
