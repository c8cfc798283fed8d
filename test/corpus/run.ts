import type { Meter } from '../../src/detection/image-source.ts';
import { startRegistry, type RegistryServer } from '../support/registry-server.ts';
import type { Corpus } from './build.ts';
import type { CorpusImage } from './corpus-image.ts';
import { fullCopy, type FullCopy } from './full-copy.ts';
import { grade, MAX_BYTES, MAX_REQUESTS, type Grade, type Outcome } from './grade.ts';
import { lookUp, type LookUp } from './look-up.ts';
import type { Sources } from './sources.ts';

/** Milliseconds added to each response of the registry, like a round trip. */
export const ROUND_TRIPS = [0, 20, 80] as const;

export interface Measurement {
  readonly entry: CorpusImage;
  readonly outcome: Outcome;
  readonly grade: Grade;
  /** What the first look found, and what that is worth. */
  readonly first: Outcome;
  readonly firstGrade: Grade;
  /** The cost of the full scan; undefined if the first look was sure. */
  readonly scan: Meter | undefined;
  readonly requests: number;
  /** Response body bytes read from the network. */
  readonly bytes: number;
  /** `bytes` as a share of a full copy. */
  readonly share: number;
  /** Duration of the look-up for each of `ROUND_TRIPS`. */
  readonly milliseconds: readonly number[];
  readonly copy: FullCopy;
  /** Exceeded budgets, in words. */
  readonly overruns: readonly string[];
}

/** Looks up each image, cold, in an in-process registry, once for each of `ROUND_TRIPS`. */
export async function measureCorpus(corpus: Corpus, sources: Sources): Promise<Measurement[]> {
  const copies: FullCopy[] = [];
  const rounds: LookUp[][] = [];
  for (const delayMs of ROUND_TRIPS) {
    const registry = await serve(corpus, delayMs);
    try {
      rounds.push(await lookUpAll(corpus, registry.host, delayMs === 0 ? 1 : 4));
      if (delayMs > 0) continue;
      for (const { entry, image } of corpus.built) copies.push(await fullCopy(registry, entry, image, sources));
    } finally {
      await registry.close();
    }
  }
  return corpus.built.map(({ entry }, at) => {
    const lookUps = rounds.map((round) => round[at]).filter((found) => found !== undefined);
    return measurementOf(entry, lookUps, copies[at] ?? { bytes: 0, by: 'sum' });
  });
}

/** Starts an in-process registry that holds the corpus. */
export async function serve(corpus: Corpus, delayMs = 0): Promise<RegistryServer> {
  const registry = await startRegistry({ delayMs });
  for (const { entry, image } of corpus.built) registry.put(entry.name, image);
  return registry;
}

/** Looks up all images in order, `lanes` at a time: look-ups that mostly wait hardly disturb each other's timing. */
export async function lookUpAll(corpus: Corpus, host: string, lanes = 1): Promise<LookUp[]> {
  const results: LookUp[] = [];
  const queue = corpus.built.entries();
  const lane = async (): Promise<void> => {
    for (const [at, { entry }] of queue) results[at] = await lookUp(host, entry);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

function measurementOf(entry: CorpusImage, lookUps: readonly LookUp[], copy: FullCopy): Measurement {
  const [near] = lookUps;
  if (near === undefined) throw new Error(`${entry.name} was not looked up`);
  const { requests, bytes } = near.meter;
  return {
    entry,
    outcome: near.outcome,
    grade: grade(entry.truth, near.outcome),
    first: near.first,
    firstGrade: grade(entry.truth, near.first),
    scan: near.scan,
    requests,
    bytes,
    share: bytes / Math.max(1, copy.bytes),
    milliseconds: lookUps.map(({ milliseconds }) => milliseconds),
    copy,
    overruns: overrunsOf(entry, requests, bytes),
  };
}

function overrunsOf({ budget }: CorpusImage, requests: number, bytes: number): string[] {
  const allowed = MAX_BYTES[budget];
  return [
    ...(requests > MAX_REQUESTS ? [`${requests} requests of ${MAX_REQUESTS}`] : []),
    ...(bytes > allowed ? [`${bytes} bytes of ${allowed}`] : []),
  ];
}
