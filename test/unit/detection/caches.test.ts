import { describe, expect, it, vi } from 'vitest';

import { lookupAbort } from '../../../src/detection/detector.ts';
import type { ImageDetector } from '../../../src/detection/image-detector.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';
import {
  detectorFor,
  FakeRegistry,
  handClock,
  login,
  minute,
  noDeadline,
  request,
  sleep,
  sourceError,
} from './support.ts';

const resolverOf = async (detector: ImageDetector, reference: string): Promise<string> =>
  (await detector.detect(request(reference), noDeadline)).verdict.resolver;

const settled = (detector: ImageDetector): Promise<void> =>
  vi.waitFor(() => expect(detector.stats().underWay).toBe(0), { interval: 1, timeout: 10_000 });

describe('tags', () => {
  it('answer from memory when they are stale, while one look-up sees whether they moved', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1', { delay: 2 });
    const clock = handClock();
    const detector = detectorFor(registry, { clock });
    await resolverOf(detector, 'app:1');
    clock.advance(10 * minute);
    const answers = Array.from({ length: 20 }, () => detector.detect(request('app:1'), noDeadline));
    answers.push(detector.detect(request('app:1', { credentials: [login('docker.io', 'x')] }), noDeadline));
    for (const { from, meter } of await Promise.all(answers)) expect([from, meter.requests]).toEqual(['memory', 0]);
    await settled(detector);
    // The manifest alone: it has not moved.
    expect([registry.manifestsOf.length, registry.inspectionsOf.length]).toEqual([2, 1]);

    Object.assign(image, { digest: 'sha256:new', resolver: 'glibc' });
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
    await settled(detector);
    expect(registry.manifestsOf).toHaveLength(2);
    clock.advance(10 * minute);
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
    await settled(detector);
    expect(await resolverOf(detector, 'app:1')).toBe('glibc');
    expect([registry.manifestsOf.length, registry.inspectionsOf.length]).toEqual([3, 2]);
  });

  it('keep their last answer while the registry fails, asking again only now and then', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const clock = handClock();
    const detector = detectorFor(registry, { clock });
    await resolverOf(detector, 'app:1');
    image.failure = { stage: 'manifest', error: sourceError('unavailable', 'docker.io answered 503') };
    clock.advance(11 * minute);
    for (let count = 0; count < 5; count += 1) {
      expect(await resolverOf(detector, 'app:1')).toBe('musl');
      await settled(detector);
    }
    expect(registry.manifestsOf).toHaveLength(2);
    clock.advance(minute);
    delete image.failure;
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
    await settled(detector);
    expect(registry.manifestsOf).toHaveLength(3);
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
    expect(registry.manifestsOf).toHaveLength(3);
  });

  it('are revalidated for as long as a look-up may go on in the background, not longer', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const clock = handClock();
    const detector = detectorFor(registry, { clock, backgroundMs: 20 });
    await resolverOf(detector, 'app:1');
    clock.advance(10 * minute);
    image.delay = 60_000;
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
    expect(detector.stats().underWay).toBe(1);
    await settled(detector);
    expect(detector.stats().failures).toBe(1);
  });

  it('do not queue for their revalidation', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1');
    registry.add('busy', { delay: 20 });
    const clock = handClock();
    const detector = detectorFor(registry, { clock, concurrency: 1 });
    await resolverOf(detector, 'app:1');
    clock.advance(10 * minute);
    const busy = detector.detect(request('busy'), noDeadline);
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
    expect(detector.stats()).toMatchObject({ underWay: 1, queued: 0 });
    await busy;
  });
});

describe('a look-up that took longer than a later one', () => {
  it('does not undo what that one saw', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1', { delay: 40 });
    const clock = handClock();
    const detector = detectorFor(registry, { clock });
    const slow = detector.detect(request('app:1', { command: ['slow'] }), noDeadline);
    await sleep(5);
    image.delay = 0;
    clock.advance(1);
    await detector.detect(request('app:1'), noDeadline);
    await slow;
    Object.assign(image, { digest: 'sha256:new', resolver: 'glibc' });
    clock.advance(10 * minute - 1);
    // As old as the later of the two: still not asked again at the end of the first one's time.
    await detector.detect(request('app:1'), noDeadline);
    await settled(detector);
    expect(registry.manifestsOf).toHaveLength(2);
    expect(await resolverOf(detector, 'app:1')).toBe('musl');
  });
});

describe('manifests', () => {
  const job = (id: number) => request('app:1', { command: ['/app', `--job=${id}`] });

  it('are fetched once for Pods that differ in their arguments alone, until the tag is stale', async () => {
    const registry = new FakeRegistry();
    const image = registry.add('app:1');
    const clock = handClock();
    const detector = detectorFor(registry, { clock });
    for (let id = 0; id < 5; id += 1) await detector.detect(job(id), noDeadline);
    expect([registry.manifestsOf.length, registry.inspectionsOf.length]).toEqual([1, 5]);
    // An answer that rests on an old manifest is as old as that manifest.
    clock.advance(9 * minute);
    await detector.detect(job(5), noDeadline);
    Object.assign(image, { digest: 'sha256:new', resolver: 'glibc' });
    clock.advance(minute);
    expect((await detector.detect(job(6), noDeadline)).verdict.resolver).toBe('glibc');
    expect(registry.manifestsOf).toHaveLength(2);
    expect((await detector.detect(job(5), noDeadline)).verdict.resolver).toBe('glibc');
  });
});

describe('words of the command line that decide nothing', () => {
  const words = {
    none: {},
    args: { args: ['--job=1'] },
    'other args': { args: ['--job=2'] },
    command: { command: ['/app', '--job=1'] },
    'same command': { command: ['/app', '--job=2'], args: ['x'] },
    'other command': { command: ['/other', '--job=1'] },
    'args like the command': { args: ['/app', '--job=1'] },
  };

  it.each<['entrypoint' | 'first-word' | undefined, keyof typeof words, (keyof typeof words)[]]>([
    ['entrypoint', 'args', ['none', 'args', 'other args', 'args like the command']],
    // An inspector that says so of a Pod with a command of its own is not believed.
    ['entrypoint', 'command', ['command']],
    ['first-word', 'command', ['command', 'same command']],
    ['first-word', 'args', ['args']],
    ['first-word', 'none', ['none']],
    [undefined, 'command', ['command']],
  ])('%s: what was found out for %s answers %j', async (decidedBy, first, expected) => {
    const registry = new FakeRegistry();
    const image = registry.add('app', decidedBy === undefined ? {} : { decidedBy });
    const detector = detectorFor(registry);
    await detector.detect(request('app', words[first]), noDeadline);
    image.failure = { stage: 'layers', error: sourceError('unavailable', 'down') };
    const known: string[] = [];
    for (const [name, more] of Object.entries(words)) {
      if ((await detector.detect(request('app', more), noDeadline)).from === 'memory') known.push(name);
    }
    expect(known).toEqual(expected);
  });
});

describe('digests', () => {
  it('are never asked about again', async () => {
    const registry = new FakeRegistry();
    const reference = `ghcr.io/a/b@sha256:${'a'.repeat(64)}`;
    registry.add(reference);
    const clock = handClock();
    const detector = detectorFor(registry, { clock });
    await resolverOf(detector, reference);
    clock.advance(365 * 24 * 60 * minute);
    expect(await resolverOf(detector, reference)).toBe('musl');
    await settled(detector);
    expect(registry.manifestsOf).toHaveLength(1);
  });

  it('are asked about again after a while when they stayed unknown', async () => {
    const registry = new FakeRegistry();
    const reference = `ghcr.io/a/b@sha256:${'a'.repeat(64)}`;
    const image = registry.add(reference, { resolver: 'unknown' });
    const clock = handClock();
    const detector = detectorFor(registry, { clock });
    for (let count = 0; count < 3; count += 1) expect(await resolverOf(detector, reference)).toBe('unknown');
    expect(registry.inspectionsOf).toHaveLength(1);
    image.resolver = 'musl';
    clock.advance(10 * minute);
    expect(await resolverOf(detector, reference)).toBe('musl');
  });
});

describe('failures', () => {
  const failing = (stage: 'manifest' | 'layers', error: unknown) => {
    const registry = new FakeRegistry();
    const image = registry.add('app', { failure: { stage, error } });
    const clock = handClock();
    const { reporter, lines } = recordingReporter();
    const detector = detectorFor(registry, { clock, reporter });
    return { registry, image, clock, lines, detector };
  };

  it.each([
    ['unauthorized', 'registry ghcr.io refused the credentials', 59, 61],
    ['not-found', 'ghcr.io/a/b has no tag 1', 59, 61],
    ['no-platform', 'ghcr.io/a/b has nothing for linux/s390x', 59, 61],
    ['rate-limited', 'docker.io asks to wait 3600 s', 9, 11],
    ['unavailable', 'connection refused', 9, 11],
  ] as const)('%s is told in the evidence, remembered, and tried again', async (code, message, before, after) => {
    const { registry, image, clock, detector } = failing('manifest', sourceError(code, message));
    const first = await detector.detect(request('app'), noDeadline);
    expect(first).toEqual({
      verdict: {
        resolver: 'unknown',
        libc: 'unknown',
        evidence: { source: 'none', detail: `${message} (${code})`, confidence: 0 },
      },
      from: 'none',
      failure: { code, message },
      meter: { requests: 1, bytes: 100 },
    });
    clock.advance(before * 1000);
    // No command line would fare better.
    const again = await detector.detect(request('app', { command: ['other'] }), noDeadline);
    expect(again).toEqual({ ...first, meter: { requests: 0, bytes: 0 } });
    expect(registry.manifestsOf).toHaveLength(1);
    delete image.failure;
    clock.advance((after - before) * 1000);
    expect(await resolverOf(detector, 'app')).toBe('musl');
  });

  it('in the layers are those of one command line', async () => {
    const { registry, image, detector } = failing('layers', sourceError('invalid-answer', 'a layer is cut'));
    await resolverOf(detector, 'app');
    delete image.failure;
    expect(await resolverOf(detector, 'app')).toBe('unknown');
    const other = await detector.detect(request('app', { command: ['other'] }), noDeadline);
    expect(other.verdict.resolver).toBe('musl');
    // Fetched anew: the layers may have gone because the tag moved.
    expect(registry.manifestsOf).toHaveLength(2);
  });

  it.each([
    ['an error', new TypeError('header Authorization: Basic c2VjcmV0')],
    ['a string', 'secret'],
    ['nothing', undefined],
  ])('of our own (%s) are unknown like all others, and told in full to the log alone', async (_, thrown) => {
    const { detector, lines, registry } = failing('layers', thrown);
    const detection = await detector.detect(request('app'), noDeadline);
    expect(detection.failure?.code).toBe('internal');
    expect(JSON.stringify(detection)).not.toMatch(/secret|c2VjcmV0/u);
    expect(lines).toEqual([
      { level: 'error', message: 'a look-up failed in an unexpected way', fields: { err: thrown } },
    ]);
    await detector.detect(request('app'), noDeadline);
    expect(registry.inspectionsOf).toHaveLength(1);
  });

  it('for which our own memory was too small are neither remembered nor told to the log', async () => {
    const { detector, image, lines } = failing('layers', lookupAbort.noMemory());
    expect((await detector.detect(request('app'), noDeadline)).failure).toMatchObject({ code: 'shed' });
    expect(lines).toEqual([]);
    delete image.failure;
    expect(await resolverOf(detector, 'app')).toBe('musl');
  });

  it('of references are told before anything is asked or kept', async () => {
    const { detector, registry } = failing('manifest', undefined);
    expect((await detector.detect(request('not a name'), noDeadline)).failure).toEqual({
      code: 'invalid-reference',
      message: '"not a name" is not an image reference',
    });
    expect((await detector.detect(request('a'.repeat(1025)), noDeadline)).failure).toEqual({
      code: 'invalid-reference',
      message: 'the image reference is longer than 1024 characters',
    });
    expect(registry.manifestsOf).toEqual([]);
    expect(detector.stats()).toMatchObject({ failures: 0, references: 0, bytes: 0 });
  });

  it('come out printable and cut', async () => {
    const { detector } = failing(
      'manifest',
      sourceError('unavailable', `it\u001B[31m said\n\u202E${'x'.repeat(5000)}`),
    );
    const { failure } = await detector.detect(request('app'), noDeadline);
    expect(failure?.message).toMatch(/^it\\u\{1b\}\[31m said\\u\{a\}\\u\{202e\}x{300,400}…$/u);
  });
});

describe('logins', () => {
  const withLogin = (password: string) => request('private/app:1', { credentials: [login('private', password)] });

  it('that are refused do not stand in the way of others, at once or later', async () => {
    const registry = new FakeRegistry();
    registry.add('private/app:1', { password: 'right', delay: 2 });
    const detector = detectorFor(registry);
    const [wrong, none, right] = await Promise.all([
      detector.detect(withLogin('wrong'), noDeadline),
      detector.detect(request('private/app:1'), noDeadline),
      detector.detect(withLogin('right'), noDeadline),
    ]);
    expect([wrong?.failure?.code, none?.failure?.code]).toEqual(['unauthorized', 'unauthorized']);
    expect(right?.verdict.resolver).toBe('musl');
  });

  it('that are refused are not tried again, others are, and one success is for all', async () => {
    const registry = new FakeRegistry();
    registry.add('private/app:1', { password: 'right' });
    const detector = detectorFor(registry);
    await detector.detect(withLogin('wrong'), noDeadline);
    await detector.detect(withLogin('wrong'), noDeadline);
    expect(registry.manifestsOf).toHaveLength(1);
    expect((await detector.detect(withLogin('right'), noDeadline)).from).toBe('registry');
    expect(await detector.detect(withLogin('wrong'), noDeadline)).toMatchObject({
      from: 'memory',
      verdict: { resolver: 'musl' },
    });
  });
});

describe('bounds', () => {
  it('hold in entries, the least recently used going first', async () => {
    const registry = new FakeRegistry();
    const detector = detectorFor(registry, { entries: 10 });
    for (let index = 0; index < 30; index += 1) {
      registry.add(`app-${index}`);
      await resolverOf(detector, `app-${index}`);
      await resolverOf(detector, 'app-0');
      await resolverOf(detector, `missing-${index}`);
    }
    expect(detector.stats()).toMatchObject({ verdicts: 10, references: 10, failures: 3 });
    expect((await detector.detect(request('app-0'), noDeadline)).from).toBe('memory');
    expect((await detector.detect(request('app-1'), noDeadline)).from).toBe('registry');
  });

  it('hold in bytes, whatever is in the entries', async () => {
    const registry = new FakeRegistry();
    const detector = detectorFor(registry, { bytes: 100_000 });
    for (let index = 0; index < 200; index += 1) {
      registry.add(`app-${index}`, { digest: `sha256:${String(index).padStart(2000, '0')}` });
      await resolverOf(detector, `app-${index}`);
    }
    const { bytes, verdicts } = detector.stats();
    expect(bytes).toBeLessThanOrEqual(100_000);
    expect(verdicts).toBeGreaterThan(4);
    registry.add('huge', { digest: 'x'.repeat(100_000) });
    expect(await resolverOf(detector, 'huge')).toBe('musl');
    expect(detector.stats().verdicts).toBe(verdicts);
  });
});
