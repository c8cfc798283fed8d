import { ImageSourceError, type ImageSources, type Meter, type Platform } from '../../src/detection/image-source.ts';
import { inspectImage } from '../../src/inspection/inspect.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { createRegistryClient } from '../../src/registry/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import type { CorpusImage } from './corpus-image.ts';
import type { Outcome } from './grade.ts';

export interface LookUp {
  readonly outcome: Outcome;
  readonly meter: Meter;
  readonly milliseconds: number;
}

const AMD64: Platform = { os: 'linux', architecture: 'amd64' };

/** Looks up one image like the webhook does for a new image: without a cached connection, token or verdict. */
export async function lookUp(host: string, entry: CorpusImage): Promise<LookUp> {
  const client = createRegistryClient({
    allow: [],
    deny: [],
    insecure: [host],
    mirrors: {},
    allowPrivateAddresses: true,
    concurrency: 8,
    credentials: listedCredentials([]),
    userAgent: 'libc-dns-corpus',
    clock: systemClock,
  });
  const meter: Meter = { requests: 0, bytes: 0 };
  const started = performance.now();
  try {
    const outcome = await ask(client, `${host}/${entry.name}:latest`, entry, meter);
    return { outcome, meter, milliseconds: performance.now() - started };
  } finally {
    await client.close();
  }
}

async function ask(sources: ImageSources, reference: string, entry: CorpusImage, meter: Meter): Promise<Outcome> {
  const { platform = AMD64, command = [], args = [] } = entry;
  const context = { signal: AbortSignal.timeout(60_000), meter };
  try {
    const { verdict, executable } = await inspectImage(
      sources.open(reference),
      { reference, platform, command, args },
      context,
    );
    return { verdict, ...(executable === undefined ? {} : { executable }) };
  } catch (error) {
    if (error instanceof ImageSourceError) return { error: error.code, message: error.message };
    throw error;
  }
}
