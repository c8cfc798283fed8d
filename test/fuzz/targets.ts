import { gzipSync } from 'node:zlib';

import { createEvaluator } from '../../src/admission/evaluate.ts';
import { createMutate } from '../../src/admission/mutate.ts';
import { ReviewError } from '../../src/admission/review.ts';
import { LookupEnded } from '../../src/detection/detector.ts';
import { ImageSourceError } from '../../src/detection/image-source.ts';
import { createInspector } from '../../src/inspection/inspect.ts';
import { admissionLimits, backgroundScanLimits, createSharedResources } from '../../src/inspection/limits.ts';
import { parseChallenges } from '../../src/registry/auth/authorization.ts';
import { parseDockerConfig } from '../../src/registry/auth/docker-config.ts';
import { retryAfterMs } from '../../src/registry/http/host-state.ts';
import { defaultLimits } from '../../src/registry/http/limits.ts';
import { parseReference } from '../../src/registry/reference.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { everyLine } from '../support/every-line.ts';
import { facts, verdict, withNodeLocal } from '../support/policy.ts';
import { tar } from '../support/tar-builder.ts';
import { type Image, layerOf, layerWithContents, plainLayer, platform, program, sourceOf } from './image.ts';

/** A reader of foreign bytes, and how it is tried. */
export interface Target {
  readonly name: string;
  /** The reader takes no more bytes. */
  readonly mostBytes: number;
  /** Inputs are JSON, and are changed as such too. */
  readonly json: boolean;
  /** Its time is not bounded: a background scan may take seconds, in slices. */
  readonly unhurried?: true;
  /** Builds what is read of an input, and returns a function that reads it. That rejects only because of a defect. */
  readonly prepare: (input: Uint8Array) => () => Promise<void>;
}

/** Runs a reader, which may fail with errors of our own. */
async function ours(read: () => unknown): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (![ImageSourceError, LookupEnded, ReviewError].some((kind) => error instanceof kind)) throw error;
  }
}

function inspects(image: Image, limits = admissionLimits): () => Promise<void> {
  const source = sourceOf(image);
  return async () => {
    const shared = createSharedResources();
    const request = { reference: 'image', platform, command: [], args: [] };
    const context = { signal: new AbortController().signal, meter: { requests: 1, bytes: 0 } };
    await ours(() => createInspector(limits, shared)(source, request, context));
    if (shared.pool.held !== 0) throw new Error(`${shared.pool.held} bytes were never given back`);
  };
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const runsApp = json({ config: { Entrypoint: ['/app'] } });
const text = (input: Uint8Array): string => Buffer.from(input).toString();

function parsed(input: Uint8Array): unknown {
  try {
    return JSON.parse(text(input));
  } catch {
    return undefined;
  }
}

function withHistory(lines: string): Image {
  const history = lines.split('\n').map((line) => ({ created_by: line }));
  const layers = history.slice(0, 100).map(() => plainLayer);
  return { config: json({ config: { Entrypoint: ['nginx'] }, history: history.slice(0, 100) }), layers };
}

function withScript(content: Uint8Array): Image {
  const config = { Entrypoint: ['/entry.sh'], Cmd: ['/app'], Env: ['A=/app', 'PATH=/bin'] };
  const entries = [
    { path: 'entry.sh', content },
    { path: 'bin/sh', content: program },
    { path: 'app', content: program },
  ];
  return { config: json({ config }), layers: [{ bytes: gzipSync(tar(entries)) }] };
}

async function readHeaders(whole: string): Promise<void> {
  await ours(() => parseReference(whole));
  parseChallenges(whole.split('\n'));
  retryAfterMs(whole, { now: 0, fallback: 1, longest: 1000 });
}

const webhook = createMutate({
  evaluator: createEvaluator({
    config: withNodeLocal({ scope: 'cluster' }),
    cluster: () => facts,
    verdicts: {
      detector: {
        detect: () => Promise.reject(new Error('not asked')),
        peek: () => ({ from: 'memory', verdict: verdict('musl'), meter: { requests: 0, bytes: 0 } }),
      },
      platform,
    },
  }),
  namespaces: { get: (name) => ({ name, labels: {} }) },
  budget: 1000,
  warnings: true,
  verified: true,
  metrics: createMetrics('fuzz'),
  log: everyLine({ level: 'error', format: 'json', destination: { write: () => {} } }),
});

const mebibyte = 1 << 20;

export const targets: readonly Target[] = [
  {
    name: 'configuration',
    mostBytes: defaultLimits.configBytes,
    json: true,
    prepare: (config) => inspects({ config, layers: [plainLayer] }),
  },
  {
    name: 'manifest',
    mostBytes: defaultLimits.manifestBytes,
    json: true,
    prepare: (manifest) => inspects({ config: runsApp, layers: [], manifest }),
  },
  {
    name: 'layer',
    mostBytes: mebibyte,
    json: true,
    prepare(input) {
      const layer = layerOf(parsed(input));
      return inspects({ config: runsApp, layers: [layer, layer, layer, layer] });
    },
  },
  {
    name: 'scan',
    mostBytes: mebibyte,
    json: true,
    unhurried: true,
    prepare: (input) => inspects({ config: runsApp, layers: [layerOf(parsed(input))] }, backgroundScanLimits),
  },
  {
    name: 'blob',
    mostBytes: mebibyte,
    json: false,
    prepare: (bytes) => inspects({ config: runsApp, layers: [{ bytes }] }),
  },
  {
    name: 'contents',
    mostBytes: 3 * mebibyte,
    json: true,
    prepare: (input) => inspects({ config: runsApp, layers: [layerWithContents(input)] }),
  },
  {
    name: 'history',
    mostBytes: defaultLimits.configBytes,
    json: false,
    prepare: (input) => inspects(withHistory(text(input))),
  },
  { name: 'script', mostBytes: mebibyte, json: false, prepare: (content) => inspects(withScript(content)) },
  {
    name: 'program',
    mostBytes: mebibyte,
    json: false,
    prepare: (content) => inspects({ config: runsApp, layers: [{ bytes: gzipSync(tar([{ path: 'app', content }])) }] }),
  },
  {
    name: 'docker-config',
    mostBytes: mebibyte,
    json: true,
    prepare: (input) => () => ours(() => parseDockerConfig(text(input))),
  },
  { name: 'headers', mostBytes: 32 << 10, json: false, prepare: (input) => () => readHeaders(text(input)) },
  {
    name: 'review',
    mostBytes: 7 * mebibyte,
    json: true,
    prepare: (input) => () => ours(() => webhook(Buffer.from(input), '', 0)),
  },
];
