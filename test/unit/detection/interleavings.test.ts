import fc from 'fast-check';
import { expect, it } from 'vitest';

import type { Resolver } from '../../../src/policy/verdict.ts';
import {
  detectorFor,
  expectNothingUnhandled,
  FakeRegistry,
  handClock,
  minute,
  request,
  sleep,
  sourceError,
  within,
} from './support.ts';

expectNothingUnhandled();

const name = fc.constantFrom('a', 'b', 'c', `d@sha256:${'d'.repeat(64)}`, 'missing', 'bad name');
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ detect: name, command: fc.constantFrom('', 'x'), patience: fc.integer({ min: 0, max: 6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ pause: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ advance: fc.integer({ min: 0, max: 11 }) }) },
  { weight: 1, arbitrary: fc.record({ moves: name, resolver: fc.constantFrom<Resolver>('musl', 'glibc', 'unknown') }) },
  { weight: 1, arbitrary: fc.record({ breaks: name, stage: fc.constantFrom('manifest', 'layers', 'no') }) },
);

it('never rejects, hangs or looks one thing up twice at once, whatever happens in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, closesEarly) => {
      const registry = new FakeRegistry();
      for (const reference of ['a', 'b', 'c', `d@sha256:${'d'.repeat(64)}`]) registry.add(reference, { delay: 2 });
      const clock = handClock();
      const detector = detectorFor(registry, { clock, concurrency: 2, queue: 2, backgroundMs: 12, entries: 5 });
      const answers: Promise<unknown>[] = [];
      for (const each of steps) {
        if ('detect' in each) {
          const command = each.command === '' ? [] : [each.command];
          answers.push(detector.detect(request(each.detect, { command }), within(each.patience)));
        } else if ('pause' in each) await sleep(each.pause);
        else if ('advance' in each) clock.advance(each.advance * minute);
        else change(registry, each);
      }
      if (closesEarly) await detector.close();
      for (const answer of await Promise.all(answers)) {
        expect(answer).toMatchObject({ verdict: { resolver: expect.any(String) }, meter: {} });
      }
      await detector.close();
      expect(detector.stats()).toMatchObject({ underWay: 0, queued: 0 });
      expect(registry.mostForOneKey).toBeLessThanOrEqual(1);
      expect(registry.most).toBeLessThanOrEqual(2);
    }),
    { numRuns: 150 },
  );
});

type Change = { moves: string; resolver: Resolver } | { breaks: string; stage: string };

function change(registry: FakeRegistry, each: Change): void {
  const image =
    'moves' in each ? registry.images.get(canonical(each.moves)) : registry.images.get(canonical(each.breaks));
  if (image === undefined) return;
  if ('moves' in each) Object.assign(image, { digest: `${image.digest}'`, resolver: each.resolver });
  else if (each.stage === 'no') delete image.failure;
  else image.failure = { stage: each.stage as 'manifest' | 'layers', error: sourceError('unavailable', 'down') };
}

function canonical(reference: string): string {
  return reference.includes(' ') ? '' : new FakeRegistry().canonical(reference);
}
