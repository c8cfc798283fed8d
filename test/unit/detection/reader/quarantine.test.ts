import { describe, expect, it } from 'vitest';

import { createQuarantine } from '../../../../src/detection/reader/quarantine.ts';
import { createKeyMemory } from '../../../../src/detection/keys.ts';
import {
  type ImageReader,
  ReaderEnded,
  ReaderUnavailable,
  type ReadOptions,
} from '../../../../src/detection/reader/image-reader.ts';
import { createImageDetector } from '../../../../src/detection/image-detector.ts';
import type { QuarantineEntry, QuarantineSubject, VerdictStore } from '../../../../src/detection/verdict-store.ts';
import { noQuarantine } from '../../../support/local-detector.ts';
import { recordingReporter } from '../../../support/recording-reporter.ts';
import { amd64, FakeRegistry, handClock, minute, noDeadline, request } from '../support.ts';

const DAY = 24 * 60 * minute;

/** The store that replicas share, as far as it is about quarantine. */
function sharedQuarantine() {
  const held = new Map<string, QuarantineEntry>();
  const store: VerdictStore = {
    declared: () => undefined,
    get: () => undefined,
    put: () => {},
    forget: () => {},
    quarantined: (subject) => held.get(JSON.stringify(subject)),
    quarantine: (subject, entry) => void held.set(JSON.stringify(subject), entry),
    release: (subject) => void held.delete(JSON.stringify(subject)),
  };
  const subjects = (): QuarantineSubject[] => [...held.keys()].map((key) => JSON.parse(key) as QuarantineSubject);
  return { held, store, subjects };
}

const keysOf = createKeyMemory((reference) => `registry.test/${reference}`);
const digest = `sha256:${'a'.repeat(64)}`;
const reading = (reference = 'app:1', command: string[] = []) => ({
  keys: keysOf(request(reference, { command })),
  platform: amd64,
});

describe('an image that has ended a reader process', () => {
  it('is refused for a minute, then for twice as long each time, to a day', () => {
    const clock = handClock();
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock });
    const waits: number[] = [];
    for (let ends = 0; ends < 14; ends += 1) {
      quarantine.add({ ...reading(), digest }, 'memory');
      const since = clock.now();
      while (quarantine.check({ ...reading(), digest }).refused !== undefined) clock.advance(minute);
      waits.push((clock.now() - since) / minute);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440]);
  });

  it('says how often, why and until when', () => {
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock: handClock() });
    const texts = (['memory', 'unresponsive', 'exit'] as const).map((end) =>
      quarantine.add({ ...reading(), digest }, end),
    );
    expect(texts).toEqual(
      [
        'reading it ended the reader process once (out of memory); next try not before 2023-11-14T22:14:20Z',
        'reading it ended the reader process twice (it did not answer any more); next try not before 2023-11-14T22:15:20Z',
        'reading it ended the reader process 3 times (it crashed); next try not before 2023-11-14T22:17:20Z',
      ].map((message) => ({ code: 'quarantined', message })),
    );
  });

  it('is read alone afterwards, and so are its other command lines meanwhile', () => {
    const clock = handClock();
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock });
    quarantine.add({ ...reading(), digest }, 'exit');
    expect(quarantine.check(reading('app:2', ['/other']))).toEqual({ alone: true, again: false });
    expect(quarantine.check(reading('other:1'))).toEqual({ alone: false, again: false });
    clock.advance(2 * minute);
    expect(quarantine.check({ ...reading(), digest })).toEqual({ alone: true, again: true });
    expect(quarantine.check(reading('app:2', ['/other']))).toEqual({ alone: false, again: false });
  });

  it('by another command line, digest or repository is another', () => {
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock: handClock() });
    quarantine.add({ ...reading(), digest }, 'exit');
    const refused = (one: object) => quarantine.check({ ...reading(), digest, ...one }).refused?.code;
    expect(refused(reading('app:other-tag'))).toBe('quarantined');
    expect(refused(reading('app:1', ['/other']))).toBeUndefined();
    expect(refused(reading('else:1'))).toBeUndefined();
    expect(refused({ digest: digest.replace('a', 'b') })).toBeUndefined();
  });

  it('before its digest was known is refused by name, for every command line', () => {
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock: handClock() });
    quarantine.add(reading(), 'exit');
    expect(quarantine.check(reading('app:1', ['/other'])).refused?.code).toBe('quarantined');
    expect(quarantine.check(reading('app:2')).refused).toBeUndefined();
  });

  it('in a scan that reads more is still read for Pods, but not the other way round', () => {
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock: handClock() });
    quarantine.add({ ...reading(), digest, more: true }, 'memory');
    expect(quarantine.check({ ...reading(), digest }).refused).toBeUndefined();
    expect(quarantine.check({ ...reading(), digest, more: true }).refused?.code).toBe('quarantined');
    quarantine.add({ ...reading('else:1'), digest }, 'memory');
    expect(quarantine.check({ ...reading('else:1'), digest, more: true }).refused?.code).toBe('quarantined');
  });

  it('is known to other replicas, who count on, until it is read well', () => {
    const { store, held } = sharedQuarantine();
    const clock = handClock();
    const [first, second] = [1, 2].map(() => createQuarantine({ guardedStore: store, clock }));
    first!.add({ ...reading(), digest }, 'exit');
    expect(second!.check({ ...reading(), digest }).refused?.message).toContain('once');
    clock.advance(minute);
    second!.add({ ...reading(), digest }, 'memory');
    expect(first!.check({ ...reading(), digest }).refused?.message).toContain('twice (out of memory)');
    first!.release({ ...reading(), digest });
    expect(held.size).toBe(0);
  });

  it('is logged by image and digest, once for many times', () => {
    const { reporter, lines } = recordingReporter();
    const clock = handClock();
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock, reporter });
    for (let ends = 0; ends < 5; ends += 1) quarantine.add({ ...reading(), digest }, 'memory');
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    expect(JSON.stringify(lines)).toContain(`registry.test/app@${digest}`);
  });

  it('is remembered for a day at most, a thousand of them', () => {
    const clock = handClock();
    const quarantine = createQuarantine({ guardedStore: noQuarantine, clock });
    for (let image = 0; image < 1500; image += 1) quarantine.add({ ...reading(`app-${image}:1`), digest }, 'exit');
    expect(quarantine.check({ ...reading('app-0:1'), digest }).refused).toBeUndefined();
    expect(quarantine.check({ ...reading('app-1499:1'), digest }).refused).toBeDefined();
    clock.advance(DAY);
    expect(quarantine.check({ ...reading('app-1499:1'), digest }).refused).toBeUndefined();
  });
});

/** A reader that some images end, and that notes how it was asked. */
function mortalReader(deadly: (reference: string, options: ReadOptions) => Error | undefined) {
  const registry = new FakeRegistry();
  const asked: string[] = [];
  const ended: string[] = [];
  const reader: ImageReader = {
    readsMore: true,
    canonical: (reference) => registry.canonical(reference),
    wake: () => {},
    async read(wanted, context, options = {}) {
      asked.push(`${wanted.reference}${options.more ? ' more' : ''}${options.alone ? ' alone' : ''}`);
      const source = registry.open(wanted.reference);
      const manifest = await source.manifest(wanted.platform, context);
      if (options.onManifest?.(manifest.digest, Date.now()) === 'stop') {
        const { ReadStopped } = await import('../../../../src/detection/reader/image-reader.ts');
        throw new ReadStopped();
      }
      const error = deadly(wanted.reference, options);
      if (error !== undefined) {
        ended.push(`${wanted.reference}${options.again?.() ? ' again' : ''}`);
        throw error;
      }
      return await registry.inspect(source, wanted, context);
    },
    close: async () => {},
  };
  return { registry, reader, asked, ended };
}

const times = { entries: 100, tagTtlMs: 10 * minute, failureTtlMs: minute };

describe('a detector whose reader an image ends', () => {
  it('does not read it again, and a second replica does not either', async () => {
    const { store, subjects } = sharedQuarantine();
    const { registry, reader, asked } = mortalReader((name) =>
      name === 'bad:1' ? new ReaderEnded('memory') : undefined,
    );
    registry.add('bad:1');
    registry.add('good:1');
    const clock = handClock();
    const [first, second] = [1, 2].map(() => createImageDetector({ ...times, reader, clock, store }));
    const detection = await first!.detect(request('bad:1'), noDeadline);
    expect(detection.failure).toMatchObject({
      code: 'quarantined',
      message: expect.stringContaining('once (out of memory)'),
    });
    expect(subjects()).toMatchObject([{ image: 'docker.io/library/bad@sha256:bad:1', more: false }]);
    for (const detector of [first!, second!, second!]) {
      expect((await detector.detect(request('bad:1'), noDeadline)).failure?.code).toBe('quarantined');
    }
    // The second replica has asked for the manifest, for a tag may have moved, and for nothing else.
    expect(asked).toEqual(['bad:1', 'bad:1']);
    expect(registry.inspectionsOf).toEqual([]);
    expect((await second!.detect(request('good:1'), noDeadline)).verdict.resolver).toBe('musl');
  });

  it('blames its namespace for the first time, not when it is read again', async () => {
    const { registry, reader, ended } = mortalReader(() => new ReaderEnded('exit'));
    for (const name of ['bad:1', 'bad:2', 'worse:1']) registry.add(name);
    const clock = handClock();
    const detector = createImageDetector({ ...times, reader, clock });
    await detector.detect(request('bad:1'), noDeadline);
    clock.advance(0.9 * minute);
    for (const name of ['bad:2', 'worse:1']) await detector.detect(request(name), noDeadline);
    // The first may be read again, while others of its repository have made it suspect.
    clock.advance(0.5 * minute);
    await detector.detect(request('bad:1'), noDeadline);
    expect(ended).toEqual(['bad:1', 'bad:2', 'worse:1', 'bad:1 again']);
  });

  it('reads it again, alone, after a while, and forgets it if that goes well', async () => {
    const { store, held } = sharedQuarantine();
    let isDeadly = true;
    const { registry, reader, asked } = mortalReader(() => (isDeadly ? new ReaderEnded('exit') : undefined));
    registry.add('bad:1');
    const clock = handClock();
    const first = createImageDetector({ ...times, reader, clock, store });
    await first.detect(request('bad:1'), noDeadline);
    isDeadly = false;
    clock.advance(2 * minute);
    const second = createImageDetector({ ...times, reader, clock, store });
    expect((await second.detect(request('bad:1'), noDeadline)).verdict.resolver).toBe('musl');
    expect(asked).toEqual(['bad:1', 'bad:1', 'bad:1 alone']);
    expect(held.size).toBe(0);
  });

  it('keeps the verdict of an image that only a scan cannot bear, and does not scan it again', async () => {
    const { store, subjects } = sharedQuarantine();
    const { registry, reader, asked } = mortalReader((_, { more }) => (more ? new ReaderEnded('memory') : undefined));
    registry.add('odd:1', { resolver: 'unknown' });
    const clock = handClock();
    const detector = createImageDetector({ ...times, reader, clock, store });
    expect((await detector.detect(request('odd:1'), noDeadline)).failure).toBeUndefined();
    await expect.poll(() => subjects()).toMatchObject([{ more: true }]);
    clock.advance(11 * minute);
    expect((await detector.detect(request('odd:1'), noDeadline)).failure).toBeUndefined();
    expect(asked.filter((each) => each.includes('more'))).toHaveLength(1);
    await detector.close();
  });

  it('says that no reader can be started, and tries again with the next Pod', async () => {
    let isDown = true;
    const { registry, reader } = mortalReader(() => (isDown ? new ReaderUnavailable('no memory') : undefined));
    registry.add('app:1');
    const { reporter, messages } = recordingReporter();
    const detector = createImageDetector({ ...times, reader, clock: handClock(), reporter });
    expect((await detector.detect(request('app:1'), noDeadline)).failure).toEqual({
      code: 'internal',
      message: 'no memory',
    });
    expect(messages('error')).toEqual([]);
    isDown = false;
    expect((await detector.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
  });
});
