import { expect, it } from 'vitest';

import type { ImageDetector } from '../../../src/detection/image-detector.ts';
import type { VerdictStore } from '../../../src/detection/verdict-store.ts';
import { noQuarantine } from '../../support/local-detector.ts';
import { amd64, detectorFor, expectNothingUnhandled, FakeRegistry, noDeadline, request, within } from './support.ts';

expectNothingUnhandled();

const HOUR = 3_600_000;

function registryWith(images: number): FakeRegistry {
  const registry = new FakeRegistry();
  for (let index = 0; index < images; index += 1) registry.add(`good.example/app:${index}`);
  for (let index = 0; index < 32; index += 1) registry.add(`hangs-${index}.example/app:1`, { delay: HOUR });
  return registry;
}

/** 32 namespaces, each with an image of a host that hangs. */
function hang(detector: ImageDetector): void {
  for (let index = 0; index < 32; index += 1) {
    void detector.detect(request(`hangs-${index}.example/app:1`, { tenant: `ns-${index}` }), noDeadline);
  }
}

const resolversOf = async (detector: ImageDetector, from: number, to: number): Promise<string[]> =>
  await Promise.all(
    Array.from({ length: to - from }, async (_, index) => {
      const wanted = request(`good.example/app:${from + index}`, { tenant: 'other' });
      return (await detector.detect(wanted, within(1000))).verdict.resolver;
    }),
  );

it('32 namespaces whose hosts hang leave half of the slots to a host that has answered', async () => {
  const detector = detectorFor(registryWith(9), { concurrency: 8, queue: 64 });
  expect(await resolversOf(detector, 0, 1)).toEqual(['musl']);
  hang(detector);
  expect(detector.stats().underWay).toBe(4);
  expect(new Set(await resolversOf(detector, 1, 9))).toEqual(new Set(['musl']));
  await detector.close();
});

it('a host is known to have answered by what another replica has read of it', async () => {
  const { verdict } = await detectorFor(registryWith(1)).detect(request('good.example/app:0'), noDeadline);
  const inspection = { verdict, digest: 'sha256:good.example/app:0', platform: amd64 };
  const store: VerdictStore = {
    ...noQuarantine,
    declared: () => undefined,
    get: ({ image }) => (image === 'good.example/app:0' ? { inspection, checkedAt: Date.now() } : undefined),
    put: () => {},
    forget: () => {},
  };
  const detector = detectorFor(registryWith(9), { concurrency: 8, queue: 64, store });
  expect((await detector.detect(request('good.example/app:0'), noDeadline)).from).toBe('store');
  hang(detector);
  expect(new Set(await resolversOf(detector, 1, 9))).toEqual(new Set(['musl']));
  await detector.close();
});

it('look-ups for a person are no less than any others', async () => {
  const detector = detectorFor(registryWith(1), { concurrency: 8, queue: 64 });
  for (let index = 0; index < 32; index += 1) {
    void detector.detect(request(`hangs-${index}.example/app:1`), noDeadline);
  }
  expect(detector.stats().underWay).toBe(8);
  await detector.close();
});
