import { describe, expect, it } from 'vitest';

import { parsePlatform } from '../../../src/detection/platform.ts';
import type { QuarantineEntry, QuarantineSubject } from '../../../src/detection/verdict-store.ts';
import { createLibcIndex } from '../../../src/image-libc/copy.ts';
import { type HeldLibc, imageLibcName, quarantineName, readImageLibc } from '../../../src/image-libc/object.ts';
import {
  expired,
  isNameable,
  planDelete,
  planPut,
  planQuarantine,
  type PlanState,
} from '../../../src/image-libc/writes.ts';
import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { canonical, digestOf, foundMusl, runOf } from '../../support/image-libc.ts';

const now = Date.parse('2026-06-01T12:00:00Z');
const minute = 60_000;
const day = 24 * 60 * minute;
const platform = parsePlatform('linux/amd64');

const subject: QuarantineSubject = {
  image: `docker.io/library/app@${digestOf('a')}`,
  platform,
  run: runOf('r'),
  more: false,
};
const entry: QuarantineEntry = { ends: 2, cause: 'memory', seenAt: now, until: now + 2 * minute };

const empty: PlanState = {
  held: () => undefined,
  count: () => ({ runs: 0, all: 0 }),
  newest: () => undefined,
  synced: true,
};

/** What the API server would give back of what is written. */
function stored(about = subject, says = entry, change: Record<string, unknown> = {}): KubeObject {
  const { body } = planQuarantine(about, says, empty, { most: 10 }) ?? {};
  const { spec, ...rest } = body as { spec: { quarantine: object } } & KubeObject;
  const quarantine = { ...spec.quarantine, ...change };
  return { ...rest, metadata: { ...rest.metadata, resourceVersion: '7' }, spec: { ...spec, quarantine } };
}

const read = (object: KubeObject, at = now): HeldLibc => {
  const held = readImageLibc(object, { now: at, canonical });
  if (typeof held === 'string') throw new Error(held);
  return held;
};

const declared = read({
  metadata: { name: quarantineName(subject) },
  spec: { image: 'app:1', resolver: 'musl' },
});

describe('an image in quarantine', () => {
  it('is an object with a sentence, and is read back as it was', () => {
    expect(stored()['spec']).toEqual({
      image: subject.image,
      platform: 'linux/amd64',
      resolver: 'unknown',
      evidence: { source: 'quarantine' },
      quarantine: {
        run: runOf('r'),
        ends: 2,
        cause: 'memory',
        seenAt: '2026-06-01T12:00:00Z',
        until: '2026-06-01T12:02:00Z',
        message: 'reading it ended the reader process twice (out of memory); next try not before 2026-06-01T12:02:00Z',
      },
    });
    const index = createLibcIndex();
    index.change(read(stored()), undefined);
    expect(index.quarantined(subject)).toMatchObject(entry);
  });

  it.each([
    ['another command line', { run: runOf('s') }],
    ['another digest', { image: `docker.io/library/app@${digestOf('b')}` }],
    ['another platform', { platform: parsePlatform('linux/arm64') }],
    ['a scan', { more: true }],
  ])('says nothing of %s', (_, change) => {
    const index = createLibcIndex();
    const held = read(stored());
    index.change(held, undefined);
    expect(index.quarantined({ ...subject, ...change })).toBeUndefined();
    expect(quarantineName({ ...subject, ...change })).not.toBe(quarantineName(subject));
    index.change(undefined, held);
    expect(index.quarantined(subject)).toBeUndefined();
  });

  it('without a command line is about all, and a scan is told from a look-up', () => {
    const about = { ...subject, image: 'docker.io/library/app:1', run: '', more: true };
    const index = createLibcIndex();
    index.change(read(stored(about)), undefined);
    expect(index.quarantined(about)).toMatchObject(entry);
    expect(stored(about)['spec']).toMatchObject({ quarantine: { more: true } });
  });

  it('never has the name of a verdict', () => {
    expect(quarantineName(subject)).not.toBe(imageLibcName(subject));
    expect(quarantineName(subject)).toMatch(/^[0-9a-f]{40}$/);
  });

  it('lasts a day at most, whatever its object says, and was not seen in the future', () => {
    const held = read(stored(subject, entry, { until: '2099-01-01T00:00:00Z', seenAt: '2098-01-01T00:00:00Z' }));
    expect(held).toMatchObject({ until: now + day, seenAt: now });
  });

  it.each([
    ['cause', 'sabotage', 'spec.quarantine.cause: expected one of'],
    ['ends', -1, 'spec.quarantine.ends: expected a whole number'],
    ['until', 5, 'spec.quarantine.until: expected'],
    ['run', 'x'.repeat(45), 'spec.quarantine.run: expected'],
  ])('is not used if its %s is strange', (field, value, why) => {
    expect(readImageLibc(stored(subject, entry, { [field]: value }), { now, canonical })).toContain(why);
  });

  it.each<[string, PlanState, QuarantineEntry, boolean]>([
    ['written when it is new', empty, entry, true],
    [
      'written again when it has happened again',
      { ...empty, held: () => read(stored()) },
      { ...entry, seenAt: now + minute },
      true,
    ],
    [
      'not written over what another replica has seen since',
      { ...empty, held: () => read(stored()) },
      { ...entry, seenAt: now - minute },
      false,
    ],
    ['not written over what a person put in its place', { ...empty, held: () => declared }, entry, false],
    ['not written before the others are known', { ...empty, synced: false }, entry, false],
    ['not written beyond sixteen of one image', { ...empty, count: () => ({ runs: 16, all: 16 }) }, entry, false],
    ['not written beyond the most', { ...empty, count: () => ({ runs: 0, all: 100 }) }, entry, false],
  ])('is %s', (_, state, says, isWritten) => {
    expect(planQuarantine(subject, says, state, { most: 100 }) !== undefined).toBe(isWritten);
  });

  it('is not overwritten by a verdict', () => {
    const key = { image: subject.image, platform, run: subject.run };
    const limits = { most: 100, reuseMs: day, now };
    expect(planPut(key, foundMusl(now), { ...empty, held: () => read(stored()) }, limits)).toBeUndefined();
  });

  it('expires like others, and is deleted only as it was seen', () => {
    const held = read(stored());
    const items = new Map([['q', held]]);
    expect(expired(items, { most: 10, expireMs: 30 * day, now: now + 29 * day })).toEqual([]);
    expect(expired(items, { most: 10, expireMs: 30 * day, now: now + 30 * day })).toEqual([
      { name: 'q', lastUsedAt: now },
    ]);
    const state = { ...empty, held: () => held };
    expect(planDelete('q', state, () => true)).toMatchObject({ body: { preconditions: { resourceVersion: '7' } } });
    expect(planDelete('q', state, () => false)).toBeUndefined();
  });

  it('is not written about names that do not fit', () => {
    expect(isNameable(subject)).toBe(true);
    expect(isNameable({ ...subject, image: 'a'.repeat(1025) })).toBe(false);
    expect(isNameable({ ...subject, platform: { os: 'Linux!', architecture: 'x' } })).toBe(false);
  });
});
