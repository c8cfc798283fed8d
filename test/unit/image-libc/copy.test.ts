import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { DETECTOR_VERSION } from '../../../src/detection/detector.ts';
import { parsePlatform } from '../../../src/detection/platform.ts';
import { type DetectedLibc, imageLibcName, readImageLibc, storedVerdict } from '../../../src/image-libc/object.ts';
import { applyVerdict, isStorable } from '../../../src/image-libc/writes.ts';
import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { canonical, digestOf, foundMusl, keyOf, runOf } from '../../support/image-libc.ts';

const now = Date.parse('2026-06-01T12:00:00Z');
const options = { now, canonical };

const object = (spec: unknown, more: object = {}, metadata: object = {}): KubeObject => ({
  metadata: { name: 'x', resourceVersion: '7', ...metadata },
  spec,
  ...more,
});

const found = {
  image: 'docker.io/library/nginx:1.29',
  platform: 'linux/amd64',
  resolver: 'musl',
  libc: 'musl',
  evidence: { source: 'executable', detail: '/x: interpreter', confidencePercent: 99 },
  detection: {
    digest: digestOf('a'),
    run: runOf('r'),
    detectorVersion: DETECTOR_VERSION,
    seenAt: '2026-05-31T00:00:00Z',
  },
};

const owner = (manager: string, ...fields: string[]) => ({
  manager,
  operation: 'Update',
  fieldsV1: { 'f:spec': Object.fromEntries(fields.map((field) => [`f:${field}`, {}])) },
});
const managed = (...managedFields: unknown[]) => ({ managedFields });

describe('what was found', () => {
  it('comes back from its object as it was', () => {
    const key = keyOf('nginx:1.29');
    const verdict = foundMusl(now - 1000, { decidedBy: 'entrypoint' });
    const { body } = applyVerdict(key, verdict);
    const read = readImageLibc(body as KubeObject, options) as DetectedLibc;
    expect(read).toMatchObject({ kind: 'detected', run: key.run, lastUsedAt: now - 1000 });
    expect(storedVerdict(read, key.platform)).toEqual(verdict);
  });

  it.each([digestOf('b'), `sha512:${'0123456789abcdef'.repeat(8)}`])('comes back with its index: %s', (named) => {
    const key = keyOf('nginx:1.29');
    const verdict = { ...foundMusl(now - 1000, { digest: named.replace(/.$/u, '0') }), named };
    const read = readImageLibc(applyVerdict(key, verdict).body as KubeObject, options) as DetectedLibc;
    expect(storedVerdict(read, key.platform)).toEqual(verdict);
    // Half as many characters, of a byte each.
    expect(read.index).toHaveLength((named.length - 'sha256:'.length) / 2);
  });

  it('comes back with all programs that may run', () => {
    const key = keyOf('nginx:1.29');
    const { inspection } = foundMusl(now - 1000);
    const resolvers = [
      { resolver: 'musl', libc: 'musl', executable: '/x', evidence: inspection.verdict.evidence },
      { resolver: 'unknown', libc: 'unknown', evidence: { source: 'none', detail: 'why', confidence: 0 } },
    ] as const;
    const verdict = foundMusl(now - 1000, { verdict: { ...inspection.verdict, resolvers } });
    const read = readImageLibc(applyVerdict(key, verdict).body as KubeObject, options) as DetectedLibc;
    expect(storedVerdict(read, key.platform).inspection.verdict).toEqual(verdict.inspection.verdict);
  });

  it('was checked when it was found or later, never in the future', () => {
    const times = (status: object) => {
      const { checkedAt, lastUsedAt } = readImageLibc(object(found, { status }), options) as DetectedLibc;
      return [checkedAt, lastUsedAt].map((time) => new Date(time).toISOString().slice(5, 16));
    };
    expect(times({})).toEqual(['05-31T00:00', '05-31T00:00']);
    expect(times({ checkedAt: '2026-06-01T00:00:00Z' })).toEqual(['06-01T00:00', '06-01T00:00']);
    expect(times({ lastUsedAt: '2026-06-01T00:00:00Z' })).toEqual(['05-31T00:00', '06-01T00:00']);
    expect(times({ checkedAt: '2026-01-01T00:00:00Z' })).toEqual(['05-31T00:00', '05-31T00:00']);
    expect(times({ checkedAt: '2999-01-01T00:00:00Z', lastUsedAt: 'never' })).toEqual(['06-01T12:00', '06-01T12:00']);
  });

  it('by older rules is outdated, by newer ones is not', () => {
    const outdated = (detectorVersion: number) => {
      const held = readImageLibc(object({ ...found, detection: { ...found.detection, detectorVersion } }), options);
      return storedVerdict(held as DetectedLibc, parsePlatform('linux/amd64')).inspection.outdated;
    };
    const versions = [DETECTOR_VERSION - 1, DETECTOR_VERSION, DETECTOR_VERSION + 1];
    expect(versions.map(outdated)).toEqual([true, undefined, undefined]);
  });

  it('is named by all that it is about, and by nothing that shows', () => {
    const names = [
      keyOf('nginx:1.29'),
      keyOf('nginx:1.30'),
      keyOf('nginx:1.29', 's'),
      keyOf('evil.example/library/nginx:1.29'),
      { ...keyOf('nginx:1.29'), platform: parsePlatform('linux/arm64') },
    ].map(imageLibcName);
    expect(new Set(names).size).toBe(5);
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{40}$/u);
    // Another version of the webhook must find the same object.
    expect(imageLibcName(keyOf('nginx:1.29'))).toBe(names[0]);
  });
});

describe('what a person declares', () => {
  it.each<[string, object, string, string]>([
    ['a short name', { image: 'nginx', resolver: 'musl' }, 'docker.io/library/nginx:latest', 'musl'],
    ['glibc', { image: 'ghcr.io/a/b:1', resolver: 'glibc' }, 'ghcr.io/a/b:1', 'glibc'],
    ['Go, linked to whatever', { image: 'ghcr.io/a/b:1', resolver: 'go' }, 'ghcr.io/a/b:1', 'unknown'],
    ['Go, without a libc', { image: 'ghcr.io/a/b:1', resolver: 'go', libc: 'none' }, 'ghcr.io/a/b:1', 'none'],
    [
      'a digest',
      { image: `nginx:1@${digestOf('b')}`, resolver: 'other' },
      `docker.io/library/nginx@${digestOf('b')}`,
      'other',
    ],
  ])('holds: %s', (_, spec, image, libc) => {
    expect(readImageLibc(object(spec), options)).toEqual({
      kind: 'declared',
      name: 'x',
      image,
      platform: undefined,
      run: undefined,
      verdict: {
        resolver: (spec as typeof found).resolver,
        libc,
        evidence: { source: 'store', detail: 'declared in ImageLibc x', confidence: 1 },
      },
    });
  });

  it.each<[string, object, object, string]>([
    ['who declared it', { image: 'a', resolver: 'go' }, managed(owner('kubectl', 'resolver')), 'declared by kubectl'],
    ['an edit of ours', found, managed(owner('libc-dns-webhook', 'image'), owner('me', 'resolver')), 'declared by me'],
    ['ours', found, managed(owner('libc-dns-webhook', 'image', 'resolver')), 'detected'],
    ['ours and theirs', found, managed(owner('me', 'resolver'), owner('libc-dns-webhook', 'resolver')), 'detected'],
    ['a backup', found, managed(owner('velero', 'image', 'resolver', 'detection')), 'detected'],
    [
      'ours, of which others own other things',
      found,
      managed(owner('me', 'libc'), owner('libc-dns-webhook')),
      'detected',
    ],
    ['no owner', found, {}, 'detected'],
    ['owners that are none', found, managed(null, 5, { manager: 'x' }, owner('y')), 'detected'],
    ['owners of another kind', found, { managedFields: 'x' }, 'detected'],
    [
      'a strange name',
      { image: 'a', resolver: 'go' },
      managed(owner('\u001B[31m\u202E', 'resolver')),
      'declared by \\u{1b}[31m\\u{202e}',
    ],
  ])('is told from what was found: %s', (_, spec, metadata, expected) => {
    const read = readImageLibc(object(spec, {}, metadata), options);
    const kind = typeof read === 'string' ? read : read.kind;
    const by =
      typeof read === 'string' || read.kind === 'quarantined'
        ? ''
        : read.verdict.evidence.detail.replace(/^.* by /u, ' by ');
    expect(kind === 'declared' ? kind + by : kind).toBe(expected);
  });

  it('in an object of ours holds for its command line alone', () => {
    const metadata = managed(owner('libc-dns-webhook', 'image'), owner('me', 'resolver'));
    expect(readImageLibc(object(found, {}, metadata), options)).toMatchObject({
      platform: 'linux/amd64',
      run: runOf('r'),
    });
  });
});

describe('objects that no schema has checked', () => {
  const evidence = (change: object): object => ({ ...found, evidence: { ...found.evidence, ...change } });
  const detected = (change: object): object => ({ ...found, detection: { ...found.detection, ...change } });
  it.each<[string, unknown, RegExp]>([
    ['no spec', undefined, /^spec: expected an object$/u],
    ['a text for a spec', 'musl', /^spec: expected an object$/u],
    ['a list for a spec', ['musl'], /^spec\.image: expected/u],
    ['no image', { ...found, image: undefined }, /^spec\.image: expected at most 1024 characters of text$/u],
    ['an empty image', { ...found, image: '' }, /^spec\.image: expected the name of an image$/u],
    ['an endless image', { ...found, image: 'a'.repeat(1025) }, /^spec\.image: /u],
    ['an image that is no reference', { image: '///', resolver: 'musl' }, /^spec\.image: /u],
    ['a platform that is none', { ...found, platform: null }, /^spec\.platform: /u],
    [
      'an unknown resolver',
      { ...found, resolver: 'unknown' },
      /^spec\.resolver: expected one of glibc, musl, go, other$/u,
    ],
    ['an unknown libc', { ...found, libc: 'uclibc' }, /^spec\.libc: /u],
    ['a detection without a platform', { ...found, platform: undefined }, /without spec\.platform/u],
    ['a detection without a libc', { ...found, libc: undefined }, /or spec\.libc/u],
    ['a detection without evidence', { ...found, evidence: undefined }, /without spec\.evidence/u],
    ['a detection that says declared', { ...found, evidence: { source: 'declared' } }, /without spec\.evidence/u],
    ['a detection that is a text', { ...found, detection: 'x' }, /^spec\.detection: expected an object$/u],
    ['evidence of no source', { ...found, evidence: { source: 'x' } }, /^spec\.evidence\.source: /u],
    ['a detail that is a number', evidence({ detail: 5 }), /^spec\.evidence\.detail: /u],
    [
      'more than certainty',
      evidence({ confidencePercent: 200 }),
      /confidencePercent: expected a whole number .* 100$/u,
    ],
    ['half a percent', evidence({ confidencePercent: 0.5 }), /^spec\.evidence\.confidencePercent: /u],
    ['an endless digest', detected({ digest: 'a'.repeat(200) }), /^spec\.detection\.digest: /u],
    ['a digest that is none', detected({ digest: 'sha256:a' }), /^spec\.detection\.digest: expected a digest/u],
    [
      'an index that is none',
      detected({ indexDigest: `sha256:${'g'.repeat(64)}` }),
      /^spec\.detection\.indexDigest: /u,
    ],
    ['an index that is a number', detected({ indexDigest: 5 }), /^spec\.detection\.indexDigest: /u],
    ['an endless run', detected({ run: 'a'.repeat(45) }), /^spec\.detection\.run: /u],
    ['decided by nobody', detected({ decidedBy: 'x' }), /^spec\.detection\.decidedBy: /u],
    ['an endless executable', detected({ executable: 'a'.repeat(5000) }), /^spec\.detection\.executable: /u],
    ['a version that is no number', detected({ detectorVersion: Number.NaN }), /^spec\.detection\.detectorVersion: /u],
    ['a time that is a number', detected({ seenAt: 5 }), /^spec\.detection\.seenAt: /u],
    ['one program for a list', { ...found, resolvers: { resolver: 'go' } }, /^spec\.resolvers: expected a list/u],
    ['endless programs', { ...found, resolvers: Array.from({ length: 17 }, () => ({})) }, /^spec\.resolvers: /u],
    [
      'a program of no resolver',
      { ...found, resolvers: [{ resolver: 'x' }, {}] },
      /^spec\.resolvers\[0\]\.resolver: expected one of/u,
    ],
    [
      'a program of no source',
      { ...found, resolvers: [{ resolver: 'go', libc: 'none' }, {}] },
      /^spec\.resolvers\[0\]\.source: /u,
    ],
  ])('are said to be of no use, and why: %s', (_, spec, why) => {
    expect(readImageLibc(object(spec), options)).toMatch(why);
  });

  it('are of no use where their status is none', () => {
    expect(readImageLibc(object(found, { status: 'x' }), options)).toBe('status: expected an object');
    const status = { lastUsedAt: 'x'.repeat(41) };
    expect(readImageLibc(object(found, { status }), options)).toMatch(/^status\.lastUsedAt: /u);
  });

  it('never throw', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), fc.anything(), (spec, status, managedFields) => {
        readImageLibc(object(spec, { status }, { managedFields }), options);
        readImageLibc(object({ ...found, ...(spec as object) }, { status }, { managedFields }), options);
      }),
    );
  });
});

describe('what is not written', () => {
  const verdict = foundMusl(now);
  const { inspection } = verdict;
  it.each([
    ['an architecture that a Pod made up', { ...keyOf('a'), platform: parsePlatform('linux/..%2f') }, verdict],
    ['an endless reference', { ...keyOf('a'), image: 'a'.repeat(1025) }, verdict],
    ['an endless path', keyOf('a'), foundMusl(now, { executable: 'a'.repeat(5000) })],
    [
      'an endless path of one program of several',
      keyOf('a'),
      foundMusl(now, {
        verdict: {
          ...inspection.verdict,
          resolvers: [inspection.verdict, { ...inspection.verdict, executable: 'a'.repeat(5000) }],
        },
      }),
    ],
    ['a digest that is none', keyOf('a'), foundMusl(now, { digest: 'sha256:x' })],
    ['unknown', keyOf('a'), foundMusl(now, { verdict: { ...inspection.verdict, resolver: 'unknown' } })],
    [
      'what somebody declared',
      keyOf('a'),
      foundMusl(now, { verdict: { ...inspection.verdict, evidence: { source: 'store', detail: '', confidence: 1 } } }),
    ],
  ])('%s', (_, key, found2) => {
    expect(isStorable(keyOf('a'), verdict)).toBe(true);
    expect(isStorable(key, found2)).toBe(false);
  });

  it('is more of a sentence than there is room for', () => {
    const evidence = { ...inspection.verdict.evidence, detail: 'ü'.repeat(5000) };
    const { body } = applyVerdict(keyOf('a'), foundMusl(now, { verdict: { ...inspection.verdict, evidence } }));
    expect(readImageLibc(body as KubeObject, options)).toMatchObject({ kind: 'detected' });
  });
});
