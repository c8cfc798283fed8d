import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import type { WebhookProcess } from '../../support/webhook-process.ts';
import { held, pidOf } from '../support/measure.ts';
import type { Sample } from './growth.ts';

const INSIDE = fileURLToPath(new URL('inside.ts', import.meta.url));
const SAMPLE_MS = 15_000;

/** Returns the environment of a replica that reports what it holds, with the chart's Node options for a limit of 512 MB. */
export const insideOf = (folder: string, leak: number): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--expose-gc --max-old-space-size=307 --import=${INSIDE}`,
  SOAK_FOLDER: folder,
  SOAK_LEAK: String(leak),
});

async function holding(folder: string, replica: WebhookProcess): Promise<Sample> {
  const told = JSON.parse(await text(connect(join(folder, `${pidOf(replica)}`)))) as Pick<
    Sample,
    'reviews' | 'heap' | 'handles'
  >;
  return { ...told, ...(await held(pidOf(replica))) };
}

/** Samples replicas repeatedly until `until`, a time of `performance.now()`. Resolves to the samples of each. */
export async function sample(folder: string, replicas: readonly WebhookProcess[], until: number): Promise<Sample[][]> {
  const samples: Sample[][] = replicas.map(() => []);
  while (performance.now() < until) {
    for (const [index, replica] of replicas.entries()) samples[index]?.push(await holding(folder, replica));
    await sleep(Math.max(0, Math.min(SAMPLE_MS, until - performance.now())));
  }
  return samples;
}
