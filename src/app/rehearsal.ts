import type { AddressInfo } from 'node:net';

import { createEvaluator } from '../admission/evaluate.ts';
import { REHEARSED_IMAGES, sendMadeUpReviews } from '../admission/rehearsal.ts';
import { createServer, type WebhookServer } from '../admission/server.ts';
import { ephemeralPair } from '../certificates/ephemeral.ts';
import type { CertificatePair } from '../certificates/source.ts';
import { createRequestLog } from '../commands/serve-log.ts';
import type { RehearsalContext } from '../commands/serve.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Inspection } from '../detection/detector.ts';
import { createImageDetector, type ImageDetector } from '../detection/image-detector.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { ReadRequest } from '../detection/reader/image-reader.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { canonicalName } from '../registry/reference.ts';
import { createLog } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { systemClock } from '../util/clock.ts';

/** V8 compiles functions after some hundred calls, and those that are called most again later. */
const CALLS = 2500;

/** Milliseconds. On a busy node the rehearsal ends unfinished. */
const MOST_MS = 10_000;

const digestOf = (digit: string): string => `sha256:${digit.repeat(64)}`;

/** Says what the made-up images hold, in place of a registry. */
function inspectionOf({ reference, platform }: ReadRequest): Inspection {
  const libc = reference === REHEARSED_IMAGES.musl ? 'musl' : 'glibc';
  const evidence = { source: 'executable', detail: `/app: linked to ${libc}`, confidence: 1 } as const;
  const digest = digestOf(libc === 'musl' ? 'a' : 'b');
  return { verdict: { resolver: libc, libc, evidence }, digest, platform, executable: '/app', decidedBy: 'entrypoint' };
}

const openDetector = (): ImageDetector =>
  createImageDetector({
    reader: {
      readsMore: false,
      canonical: canonicalName,
      wake: () => {},
      read: async (request) => inspectionOf(request),
      close: async () => {},
    },
    entries: 100,
    tagTtlMs: MOST_MS,
    failureTtlMs: MOST_MS,
    clock: systemClock,
  });

/**
 * Lets V8 compile what answers reviews: at the pace of most clusters that would take hours. A second server on a port of 127.0.0.1, with
 * a certificate, metrics and a log of its own that nobody sees, answers made-up reviews with the running configuration. Never rejects.
 */
export async function rehearse({ config, facts, reporter, signal, calls = CALLS }: RehearsalContext): Promise<void> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(MOST_MS)]);
  const began = performance.now();
  try {
    const pair = await ephemeralPair({ names: [{ type: 'ip', value: '127.0.0.1' }], now: Date.now(), days: 1 });
    const detector = openDetector();
    const { app } = openServer({ config, facts }, detector, pair);
    try {
      await app.listen({ host: '127.0.0.1', port: 0 });
      const { port } = app.server.address() as AddressInfo;
      await sendMadeUpReviews({ port, ca: pair.ca, calls, signal: inTime });
    } finally {
      await app.close();
      await detector.close();
    }
    reporter.log.debug({ calls, ms: Math.round(performance.now() - began) }, 'reviews have been rehearsed');
  } catch (error) {
    reporter.log.debug({ err: error }, 'the rehearsal of reviews has ended early');
  }
}

function openServer(
  { config, facts }: Pick<RehearsalContext, 'config' | 'facts'>,
  detector: ImageDetector,
  pair: CertificatePair,
): WebhookServer {
  const metrics = createMetrics('rehearsal', { ofProcess: false });
  const log = createLog({ level: 'info', format: 'json', destination: { write: () => {} } });
  const verdicts = { detector, platform: parsePlatform(config.detection.platform) };
  return createServer({
    evaluator: createEvaluator({ config: policyConfig(config), cluster: facts, verdicts }),
    // Where no label chooses a mode, nothing would be decided.
    namespaces: { get: (name) => ({ name, labels: { [MODE_LABEL]: 'enforce' } }) },
    budget: config.detection.budget,
    warnings: config.server.warnings,
    verified: false,
    metrics,
    ...createRequestLog(log, metrics),
    certificates: { current: () => pair, onChange: () => {}, close: () => {} },
    drain: { quietMs: 0, mostMs: 0 },
  });
}
