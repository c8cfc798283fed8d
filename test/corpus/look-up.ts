import type { Inspect } from '../../src/detection/detector.ts';
import { ImageSourceError, type ImageSources, type Meter, type Platform } from '../../src/detection/image-source.ts';
import { createInspector, inspectImage } from '../../src/inspection/inspect.ts';
import { backgroundScanLimits } from '../../src/inspection/limits.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { createRegistryClient } from '../../src/registry/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import type { CorpusImage } from './corpus-image.ts';
import type { Outcome } from './grade.ts';

export interface LookUp {
  /** What is known in the end: by the first look or, where that is not sure, by a full scan. */
  readonly outcome: Outcome;
  /** What the first look found. */
  readonly first: Outcome;
  /** The cost of the first look. */
  readonly meter: Meter;
  /** The cost of the full scan; undefined if the first look was sure. */
  readonly scan?: Meter;
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
    const first = await ask(client, `${host}/${entry.name}:latest`, entry, meter, inspectImage);
    const milliseconds = performance.now() - started;
    if (isSure(first)) return { outcome: first, first, meter, milliseconds };
    const scan: Meter = { requests: 0, bytes: 0 };
    const outcome = await ask(client, `${host}/${entry.name}:latest`, entry, scan, fullScan);
    return { outcome, first, meter, scan, milliseconds };
  } finally {
    await client.close();
  }
}

const fullScan = createInspector(backgroundScanLimits);
// Below this a first look is followed by a full scan.
const leastSure = 0.6;

const isSure = (outcome: Outcome): boolean => 'error' in outcome || outcome.verdict.evidence.confidence >= leastSure;

async function ask(
  sources: ImageSources,
  reference: string,
  entry: CorpusImage,
  meter: Meter,
  inspect: Inspect,
): Promise<Outcome> {
  const { platform = AMD64, command = [], args = [], env = {} } = entry;
  const { envFrom = false, workingDir, user, mounts = [] } = entry;
  const given = {
    envFrom,
    mounts,
    ...(workingDir !== undefined && { workingDir }),
    ...(user !== undefined && { user }),
  };
  const context = { signal: AbortSignal.timeout(60_000), meter };
  try {
    const { verdict, executable } = await inspect(
      sources.open(reference),
      { reference, platform, command, args, env, ...given },
      context,
    );
    return { verdict, ...(executable === undefined ? {} : { executable }) };
  } catch (error) {
    if (error instanceof ImageSourceError) return { error: error.code, message: error.message };
    throw error;
  }
}
