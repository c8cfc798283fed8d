import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { Inspect } from '../../../src/detection/detector.ts';
import type { StoredVerdict, VerdictStore } from '../../../src/detection/verdict-store.ts';
import { createInspector, inspectImage } from '../../../src/inspection/inspect.ts';
import { backgroundScanLimits } from '../../../src/inspection/limits.ts';
import { elf } from '../../support/elf-builder.ts';
import { image } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { localDetector, noQuarantine } from '../../support/local-detector.ts';
import { memorySource } from '../../support/memory-source.ts';
import { handClock, noDeadline, request, sleep, sourceError } from './support.ts';

/** Behind 2 MB that do not compress: further than an admission look-up reads. */
const OUT_OF_REACH = image({
  layers: [
    layer(
      [
        { path: 'data', content: randomBytes(2 * 1024 * 1024) },
        { path: 'usr/bin/app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) },
      ],
      'gzip',
    ),
  ],
  config: { entrypoint: ['/usr/bin/app'] },
});

function detectorWith(
  inspectInBackground: Inspect,
  clock: { now(): number } = { now: () => Date.now() },
  store?: VerdictStore,
) {
  const counts = { full: 0 };
  const detector = localDetector({
    sources: { open: () => memorySource(OUT_OF_REACH), canonical: (text) => text },
    inspect: inspectImage,
    inspectMore: (...given) => {
      counts.full += 1;
      return inspectInBackground(...given);
    },
    entries: 1000,
    tagTtlMs: 600_000,
    failureTtlMs: 60_000,
    clock,
    ...(store && { store }),
  });
  return { detector, counts };
}

describe('an image whose program an admission look-up does not reach', () => {
  it('is scanned at once if there is time, and the answer says what both reads cost', async () => {
    const { detector, counts } = detectorWith(createInspector(backgroundScanLimits));
    const first = await detector.detect(request('app'), noDeadline);
    expect(first).toMatchObject({ from: 'registry', verdict: { resolver: 'musl', evidence: { confidence: 0.99 } } });
    expect(first.meter.bytes).toBeGreaterThan(2 * 1024 * 1024);
    expect(first.meter.requests).toBeGreaterThan(4);
    expect(counts.full).toBe(1);
    await detector.close();
  });

  it('is unknown where time is short; the scan goes on in the background and tells the next Pod', async () => {
    const inBackground = createInspector(backgroundScanLimits);
    const { detector, counts } = detectorWith(async (...given) => {
      await sleep(400);
      return await inBackground(...given);
    });
    const first = await detector.detect(request('app'), AbortSignal.timeout(200));
    expect(first).toMatchObject({ from: 'registry', verdict: { resolver: 'unknown' } });
    expect(first.failure).toBeUndefined();
    expect(first.meter.bytes).toBeLessThan(600 * 1024);
    await expect.poll(async () => (await detector.detect(request('app'), noDeadline)).verdict.resolver).toBe('musl');
    expect(await detector.detect(request('app'), noDeadline)).toMatchObject({
      from: 'memory',
      verdict: { evidence: { source: 'executable' } },
    });
    expect(counts.full).toBe(1);
    await detector.close();
  });

  it('is not scanned again where the scan tells no more', async () => {
    const { detector, counts } = detectorWith(inspectImage);
    for (let pods = 0; pods < 5; pods += 1) await detector.detect(request('app'), noDeadline);
    await sleep(50);
    expect(counts.full).toBe(1);
    expect((await detector.detect(request('app'), noDeadline)).verdict.resolver).toBe('unknown');
    await detector.close();
  });

  it('a scan that fails changes nothing and rejects nothing', async () => {
    const { detector } = detectorWith(() => Promise.reject(new Error('boom')));
    await detector.detect(request('app'), noDeadline);
    await sleep(20);
    expect((await detector.detect(request('app'), noDeadline)).verdict.resolver).toBe('unknown');
    await detector.close();
  });

  it('a scan that fails for a passing reason is tried again after a while', async () => {
    const clock = handClock();
    let down = true;
    const { detector, counts } = detectorWith((...given) => {
      if (!down) return createInspector(backgroundScanLimits)(...given);
      return sleep(20).then(() => Promise.reject(sourceError('unavailable', 'the registry answered 503')));
    }, clock);
    for (let pods = 0; pods < 10; pods += 1) await detector.detect(request('app'), noDeadline);
    await sleep(40);
    expect(counts.full).toBe(1);
    down = false;
    await detector.detect(request('app'), noDeadline);
    await sleep(20);
    expect(counts.full).toBe(1);
    clock.advance(60_000);
    await detector.detect(request('app'), noDeadline);
    await expect.poll(async () => (await detector.detect(request('app'), noDeadline)).verdict.resolver).toBe('musl');
    expect(counts.full).toBe(2);
    await detector.close();
  });

  it('a scan for a rehearsal leaves nothing in the store', async () => {
    const puts: string[] = [];
    const store = {
      ...noQuarantine,
      declared: () => undefined,
      get: () => undefined,
      put: (_: unknown, { inspection }: StoredVerdict) => void puts.push(inspection.verdict.resolver),
      forget: () => {},
    };
    const { detector } = detectorWith(createInspector(backgroundScanLimits), undefined, store);
    const detect = async (dryRun: boolean) =>
      (await detector.detect(request('app', { dryRun }), noDeadline)).verdict.resolver;
    await detect(true);
    await expect.poll(() => detect(true)).toBe('musl');
    expect(puts).toEqual([]);
    await detect(false);
    expect(puts).toEqual(['musl']);
    await detector.close();
  });

  it('a scan under way ends with the detector', async () => {
    let ended = false;
    const { detector } = detectorWith(
      (_source, _request, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            ended = true;
            reject(signal.reason as Error);
          });
        }),
    );
    await detector.detect(request('app'), AbortSignal.timeout(200));
    await detector.close();
    expect(ended).toBe(true);
  });
});
