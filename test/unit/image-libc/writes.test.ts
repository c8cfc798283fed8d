import { describe, expect, it } from 'vitest';

import type { StoredVerdict } from '../../../src/detection/verdict-store.ts';
import { createLibcIndex } from '../../../src/image-libc/copy.ts';
import { type DeclaredLibc, type DetectedLibc, packDigest, readImageLibc } from '../../../src/image-libc/object.ts';
import {
  applyVerdict,
  expired,
  isStorable,
  planDelete,
  planPut,
  type PlanState,
} from '../../../src/image-libc/writes.ts';
import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { canonical, digestOf, foundMusl, keyOf, runOf } from '../../support/image-libc.ts';

const minute = 60_000;
const hour = 60 * minute;
const now = Date.parse('2026-06-01T12:00:00Z');
const limits = { most: 100, reuseMs: 24 * hour, now };

const detected = (verdict: StoredVerdict, change: Partial<DetectedLibc> = {}, image = 'app:1'): DetectedLibc => {
  const { body } = applyVerdict(keyOf(image), verdict);
  const read = readImageLibc(body as KubeObject, { now, canonical }) as DetectedLibc;
  return { ...read, resourceVersion: '1', ...change };
};
const declared = (change: Partial<DeclaredLibc> = {}): DeclaredLibc => ({
  kind: 'declared',
  name: 'by-hand',
  image: 'docker.io/library/app:1',
  platform: undefined,
  run: undefined,
  verdict: { resolver: 'go', libc: 'unknown', evidence: { source: 'store', detail: '', confidence: 1 } },
  ...change,
});

const state = (held?: DetectedLibc | DeclaredLibc, more: Partial<PlanState> = {}): PlanState => ({
  held: () => held,
  count: () => ({ runs: 0, all: 0 }),
  newest: () => (held?.kind === 'detected' ? held : undefined),
  synced: true,
  ...more,
});

const unsure = (checkedAt: number, confidence: number): StoredVerdict => {
  const { inspection } = foundMusl(checkedAt);
  const evidence = { ...inspection.verdict.evidence, confidence };
  return { checkedAt, inspection: { ...inspection, verdict: { ...inspection.verdict, evidence } } };
};

describe('a verdict', () => {
  const held = detected(foundMusl(now - hour));
  const used = { lastUsedAt: now - hour };
  const unused = { ...held, lastUsedAt: now - 25 * hour };
  const other = { digest: packDigest(digestOf('b')), checkedAt: now - 30 * minute };
  const index = digestOf('c');
  const from = (named: string, checkedAt = now): StoredVerdict => ({ ...foundMusl(checkedAt), named });
  const idle = detected(foundMusl(now - 48 * hour));
  it.each<[string, StoredVerdict, PlanState, 'verdict' | 'use' | undefined]>([
    ['is written when it is new', foundMusl(now), state(), 'verdict'],
    ['is not written before the others are known', foundMusl(now), state(undefined, { synced: false }), undefined],
    ['is not written again', foundMusl(now - hour), state(held), undefined],
    ['is not written when it is older', foundMusl(now - 2 * hour), state(held), undefined],
    ['is written when the tag has moved', foundMusl(now, { digest: digestOf('b') }), state(held), 'verdict'],
    ['is not, if that was before', foundMusl(now - 2 * hour, { digest: digestOf('b') }), state(held), undefined],
    ['is written when it is surer', foundMusl(now - hour), state(detected(unsure(now - hour, 0.5), used)), 'verdict'],
    ['is not written when it is less sure', unsure(now - hour, 0.5), state(held), undefined],
    ['is not written for a rounding', unsure(now - hour, 0.994), state(held), undefined],
    [
      'replaces what older rules found',
      unsure(now - hour, 0.3),
      state(detected(foundMusl(now - hour), { version: 0 })),
      'verdict',
    ],
    ['leaves what newer rules found', foundMusl(now - hour), state({ ...held, version: 99 }), undefined],
    ['of older rules is not written as ours', foundMusl(now, { outdated: true }), state(), undefined],
    ['of older rules is used', foundMusl(now, { outdated: true }), state({ ...unused, version: 0 }), 'use'],
    ['of a tag that was checked since: nothing', foundMusl(now), state(held), undefined],
    ['not used for long: status', foundMusl(now - hour), state(unused), 'use'],
    [
      'that counts again, for its tag has moved back: status',
      foundMusl(now),
      state(held, { newest: () => other }),
      'use',
    ],
    [
      'that somebody saw before the tag moved: nothing',
      foundMusl(now - 40 * minute),
      state(held, { newest: () => other }),
      undefined,
    ],
    ['is not written over what is declared', foundMusl(now), state(declared()), undefined],
    ['has no room among all', foundMusl(now), state(undefined, { count: () => ({ runs: 0, all: 100 }) }), undefined],
    [
      'has no room for its image',
      foundMusl(now),
      state(undefined, { count: () => ({ runs: 16, all: 16 }) }),
      undefined,
    ],
    ['needs none when it is there', foundMusl(now), state(unused, { count: () => ({ runs: 16, all: 100 }) }), 'use'],
  ])('%s', (_, verdict, given, expected) => {
    expect(planPut(keyOf('app:1'), verdict, given, limits)?.kind).toBe(expected);
  });

  it('is written without force, its use into the status alone', () => {
    const written = planPut(keyOf('app:1'), foundMusl(now), state(), limits)?.request;
    expect(written).toMatchObject({
      method: 'PATCH',
      path: expect.stringMatching(/\/imagelibcs\/[0-9a-f]{40}$/u) as string,
      query: { fieldManager: 'libc-dns-webhook', force: false },
      contentType: 'application/apply-patch+yaml',
    });
    expect(written?.body).not.toHaveProperty('status');
    const use = planPut(keyOf('app:1'), foundMusl(now), state(unused), limits)?.request;
    expect(use).toMatchObject({
      path: expect.stringMatching(/\/status$/u) as string,
      body: { status: { checkedAt: '2026-06-01T12:00:00Z', lastUsedAt: '2026-06-01T12:00:00Z' } },
    });
    expect(use?.body).not.toHaveProperty('spec');
  });

  it.each<[string, StoredVerdict, DetectedLibc, indexDigest: string | undefined]>([
    ['is not written before a use would be', from(index), held, 'not written'],
    ['takes the place of a use', from(index), idle, index],
    ['is written after a use that did not know it', from(index), { ...idle, lastUsedAt: now }, index],
    ['is written when it is another', from(index), { ...idle, index: packDigest(digestOf('d')) }, index],
    [
      'goes when the tag names the manifest itself',
      from(digestOf('a')),
      { ...idle, index: packDigest(index) },
      undefined,
    ],
    ['is not written again', from(index), { ...idle, index: packDigest(index) }, 'not written'],
    ['is not written for a single image', from(digestOf('a')), idle, 'not written'],
    ['is not written by those who do not know it', foundMusl(now), idle, 'not written'],
    ['is not written if it was seen before', from(index, now - 49 * hour), idle, 'not written'],
    ['is not written as ours to what newer rules found', from(index), { ...idle, version: 99 }, 'not written'],
  ])('its index %s', (_, verdict, stored, expected) => {
    const plan = planPut(keyOf('app:1'), verdict, state(stored), limits);
    const spec = (plan?.request.body as { spec?: { detection: { indexDigest?: string } } } | undefined)?.spec;
    expect(spec === undefined ? 'not written' : spec.detection.indexDigest).toBe(expected);
    if (spec !== undefined) expect(plan?.kind).toBe('use');
  });

  it('keeps all else that is stored of it when its index is written, and counts as used', () => {
    const surest = { ...idle, verdict: unsure(now, 1).inspection.verdict, executable: undefined };
    const { body } = planPut(
      keyOf('app:1'),
      { ...unsure(now - 1000, 0.3), named: index },
      state(surest),
      limits,
    )!.request;
    const read = readImageLibc(body as KubeObject, { now, canonical });
    const at = now - 1000;
    expect(read).toMatchObject({
      ...surest,
      index: packDigest(index),
      checkedAt: at,
      lastUsedAt: at,
      resourceVersion: undefined,
    });
  });

  it('cannot be stored with an index whose digest is none', () => {
    const key = keyOf('app:1');
    expect([isStorable(key, from(index)), isStorable(key, from('sha256:x'))]).toEqual([true, false]);
  });

  it('was checked when it was, whatever digest somebody saw before', () => {
    const use = planPut(
      keyOf('app:1'),
      foundMusl(now - 2 * hour, { digest: digestOf('b') }),
      state({ ...held, lastUsedAt: now - 48 * hour }),
      limits,
    );
    expect(use?.request.body).toMatchObject({ status: { checkedAt: '2026-06-01T11:00:00Z' } });
  });
});

describe('deletion', () => {
  const item = (name: string, lastUsedAt: number) => [name, detected(foundMusl(now), { lastUsedAt })] as const;
  it('is for what nobody used for long, and for the least recently used where there are too many', () => {
    const items = new Map<string, DetectedLibc | DeclaredLibc>([
      item('new', now),
      item('older', now - 2 * hour),
      item('oldest', now - 3 * hour),
      item('old', now - hour),
      ['by-hand', declared()],
    ]);
    const names = (most: number, expireMs: number) => expired(items, { most, expireMs, now }).map(({ name }) => name);
    expect(names(100, 24 * hour)).toEqual([]);
    expect(names(100, 2 * hour)).toEqual(['oldest', 'older']);
    expect(names(4, 24 * hour)).toEqual(['oldest']);
    expect(names(2, 24 * hour)).toEqual(['oldest', 'older', 'old']);
  });

  it('is of the object that was seen, and of none that is declared, gone or in use again', () => {
    const held = detected(foundMusl(now));
    const yes = (): boolean => true;
    expect(planDelete('x', state(held), yes)).toMatchObject({
      method: 'DELETE',
      body: { preconditions: { resourceVersion: '1' } },
    });
    expect(planDelete('x', state(), yes)).toBeUndefined();
    expect(planDelete('x', state(declared()), yes)).toBeUndefined();
    expect(planDelete('x', state(held), () => false)).toBeUndefined();
  });
});

describe('the index', () => {
  const runs = [runOf('r')];
  const image = 'docker.io/library/app:1';

  it('answers for the digest that the reference was last seen to stand for', () => {
    const index = createLibcIndex();
    const old = detected(foundMusl(now - hour));
    const other = detected(foundMusl(now, { digest: digestOf('b') }), { run: runOf('s') });
    index.change(old, undefined);
    expect(index.detected(image, 'linux/amd64', runs)).toBe(old);
    expect(index.detected(image, 'linux/arm64', runs)).toBeUndefined();
    expect(index.detected(image, 'linux/amd64', [runOf('x')])).toBeUndefined();
    index.change(other, undefined);
    expect(index.detected(image, 'linux/amd64', runs)).toBeUndefined();
    expect(index.detected(image, 'linux/amd64', [runOf('x'), runOf('s')])).toBe(other);
    index.change(undefined, other);
    index.change(undefined, other);
    expect(index.detected(image, 'linux/amd64', runs)).toBe(old);
    const newer = { ...old, checkedAt: now };
    index.change(newer, old);
    expect(index.detected(image, 'linux/amd64', runs)).toBe(newer);
    expect([index.runs(old.reference), index.runs('none'), index.size()]).toEqual([
      1,
      0,
      { detected: 1, declared: 0, quarantined: 0 },
    ]);
    index.change(undefined, newer);
    expect(index.size()).toEqual({ detected: 0, declared: 0, quarantined: 0 });
  });

  it('takes what is said of one command line or platform before what is said of all, and one where two say it', () => {
    const index = createLibcIndex();
    const all = [
      declared({ name: 'b' }),
      declared({ name: 'c' }),
      declared({ name: 'd', platform: 'linux/amd64' }),
      declared({ name: 'e', run: runOf('r') }),
      declared({ name: 'a', platform: 'linux/arm64' }),
    ];
    for (const each of all.toReversed()) index.change(each, undefined);
    expect(index.declared(image, 'linux/amd64', runs)?.name).toBe('e');
    expect(index.declared(image, 'linux/amd64', [])?.name).toBe('d');
    expect(index.declared(image, 'linux/arm64', [])?.name).toBe('a');
    expect(index.declared(image, 'linux/s390x', [])?.name).toBe('b');
    expect(index.declared('docker.io/library/app:2', 'linux/amd64', runs)).toBeUndefined();
  });
});
