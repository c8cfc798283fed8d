import { buildCorpus, type Corpus } from '../test/corpus/build.ts';
import { corpusImages } from '../test/corpus/images.ts';
import { summarise } from '../test/corpus/report.ts';
import { measureCorpus, ROUND_TRIPS } from '../test/corpus/run.ts';
import { CACHE_DIRECTORY, openSources, type Sources } from '../test/corpus/sources.ts';
import { fixture } from '../test/support/reviews.ts';
import { createCaller } from './client.ts';
import type { Bench, Part } from './part.ts';
import { benchRegistry } from './registry.ts';
import { digits, type Table } from './report.ts';
import { containersOf } from './reviews.ts';
import { startOurs } from './servers.ts';
import { percentile } from './statistics.ts';
import { tripsTable } from './trips.ts';

const PODS = 1000;
const IMAGES = 50;
const ROUND_TRIP_MS = 20;

async function corpusTable(
  corpus: Corpus,
  sources: Sources,
  { progress }: Bench,
): Promise<{ table: Table; data: unknown }> {
  progress('cold path: looking the corpus up');
  const { images, skipped, right, median, most } = summarise(corpus, await measureCorpus(corpus, sources));
  const row = (name: string, { requests, bytes, milliseconds }: typeof median): string[] => [
    name,
    String(requests),
    digits(bytes / 1024),
    ...milliseconds.map((ms) => String(ms)),
  ];
  const table = {
    title: 'New images, one by one',
    note: `${images} images of \`npm run corpus\`${skipped === 0 ? '' : ` (${skipped} could not be built here)`}, each cold: no connection, token or verdict. Milliseconds by the registry's round trip.`,
    columns: ['', 'requests', 'KiB', ...ROUND_TRIPS.map((delay) => `ms at ${delay} ms`)],
    rows: [row('median', median), row('most', most)],
  };
  return { table, data: { images, skipped, right, median, most } };
}

interface Answered {
  readonly ms: number;
  readonly known: boolean;
}

function isKnown(answer: string): boolean {
  const { response } = JSON.parse(answer) as { response: { auditAnnotations: { decision: string } } };
  return !response.auditAnnotations.decision.includes('"unknown"');
}

/** Sends {@link PODS} Pods at once, on {@link IMAGES} new images, to a server that has just started. */
async function storm({ keys, main, progress }: Bench): Promise<{ table: Table; data: unknown }> {
  progress('cold path: storm');
  const registry = await benchRegistry(ROUND_TRIP_MS);
  const server = await startOurs(keys, {
    main,
    settings: { SCOPE: 'cluster', DETECTION_REGISTRY_INSECURE: registry.host },
  });
  const caller = createCaller({ port: server.port, path: '/mutate', ca: keys.ca });
  const reviews = Array.from({ length: IMAGES }, (_, image) => {
    const review = fixture('plain');
    for (const container of containersOf(review)) container.image = registry.stand(`storm-${image}`);
    return JSON.stringify(review);
  });
  const began = performance.now();
  const call = async (index: number): Promise<Answered> => {
    const answer = await caller.call(reviews[index % IMAGES] ?? '');
    return { ms: performance.now() - began, known: isKnown(answer) };
  };
  try {
    const settled = await Promise.allSettled(Array.from({ length: PODS }, (_, index) => call(index)));
    const answered = settled.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
    const milliseconds = answered.map(({ ms }) => ms);
    const known = answered.filter((one) => one.known).length;
    const data = {
      failed: PODS - answered.length,
      known,
      requests: registry.requests.length,
      p50: percentile(milliseconds, 0.5),
      last: Math.max(...milliseconds),
    };
    const table = {
      title: `${PODS} Pods at once on ${IMAGES} new images`,
      note: `A server just started, ${PODS} new connections, a registry ${ROUND_TRIP_MS} ms away. Milliseconds from the first call; who sends them shares the processors.`,
      columns: ['answered', 'with a verdict', 'registry requests', 'half answered after ms', 'all after ms'],
      rows: [[answered.length, known, data.requests, Math.round(data.p50), Math.round(data.last)].map(String)],
    };
    return { table, data };
  } finally {
    caller.close();
    await server.stop();
    await registry.close();
  }
}

/** Measures what new images cost. */
export const coldPath: Part = async (bench) => {
  bench.progress('cold path: round trips');
  const trips = await tripsTable(bench.rounds);
  const stormed = await storm(bench);
  const sources = await openSources(CACHE_DIRECTORY);
  const images = await buildCorpus(corpusImages, sources, (name) => bench.progress(`cold path: building ${name}`));
  const corpus = await corpusTable(images, sources, bench);
  return {
    tables: [trips.table, corpus.table, stormed.table],
    data: { trips: trips.data, corpus: corpus.data, storm: stormed.data },
  };
};
