import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Alike } from '../../../src/admission/alike.ts';
import { createKnownReviews, type KnownReviews } from '../../../src/admission/known-reviews.ts';
import { fixture } from '../../support/reviews.ts';

const CREATED = ['plain', 'mixed', 'generated', 'storefront', 'postgres-0', 'report', 'node-agent', 'hostnet'];

/** As an API server sent it: on one line, in the same order. */
const text = (name: string): string => JSON.stringify(fixture(name));

const alike = (key = 'what is read'): Alike => ({ object: {}, pod: {} as Alike['pod'], key, label: null });
const request = { namespace: 'shop', pod: 'web', dryRun: false, owners: undefined };

const uidOf = (review: string): string => /"request":\{"uid":"([^"]*)"/.exec(review)?.[1] ?? '';

function remembering(review: string, change: Partial<Parameters<KnownReviews['keep']>[2]> = {}): KnownReviews {
  const known = createKnownReviews(() => 0);
  known.keep(Buffer.from(review), uidOf(review), { request, alike: alike(), ...change });
  return known;
}

const PLACES = { uid: /[\da-f]{8}-[\da-f-]{27}/, token: /kube-api-access-[\da-z]{5}/, time: /\d{4}-[\d-]*T[\d:]*Z/ };

/** The review of another Pod of the same template. */
function next(review: string, index = 1): string {
  const uid = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
  const token = `kube-api-access-${String(index).padStart(5, 'z')}`;
  const time = `2027-01-01T00:00:${String(index % 60).padStart(2, '0')}Z`;
  const [oldToken = token] = PLACES.token.exec(review) ?? [];
  const [oldTime = time] = PLACES.time.exec(review) ?? [];
  return review.replaceAll(uidOf(review), uid).replaceAll(oldToken, token).replaceAll(oldTime, time);
}

describe('reviews of Pods of one template', () => {
  it.each(CREATED)('%s: found with another uid, token volume and time, again and again', (name) => {
    const review = text(name);
    expect(review).toMatch(PLACES.token);
    expect(review).toMatch(PLACES.time);
    const known = remembering(review);
    for (const index of [1, 2, 3]) {
      const found = known.find(Buffer.from(next(review, index)));
      expect(found).toMatchObject({ request, uid: uidOf(next(review, index)) });
      expect(found?.uid).not.toBe(uidOf(review));
    }
    expect(known.find(Buffer.from(review))?.uid).toBe(uidOf(review));
  });

  it('are told apart by any other byte', () => {
    const review = text('plain');
    const known = remembering(review);
    const bytes = Buffer.from(review);
    const own = Object.values(PLACES).flatMap((pattern) =>
      [...review.matchAll(new RegExp(pattern, 'g'))].map(
        ({ index, 0: { length } }) => [index, index + length] as const,
      ),
    );
    expect(own.length).toBeGreaterThan(3);
    for (let at = 0; at < bytes.length; at += 1) {
      if (own.some(([from, to]) => from <= at && at < to)) continue;
      const other = Buffer.from(bytes);
      other[at] = bytes[at] === 0x61 ? 0x62 : 0x61;
      expect(known.find(other), `byte ${at}`).toBeUndefined();
    }
  });

  it('may have a token volume that is called otherwise in one place: not the same', () => {
    const review = text('storefront');
    const changed = next(review).replace(/kube-api-access-[\da-z]{5}/, 'kube-api-access-other');
    expect(remembering(review).find(Buffer.from(changed))).toBeUndefined();
  });

  it('may have no token volume, or not say when they were made', () => {
    for (const review of [
      text('plain').replaceAll('kube-api-access-', 'own-token-volume'),
      text('plain')
        .replaceAll('"time":', '"when":')
        .replaceAll(/\d{4}-[\d-]*T[\d:]*Z/g, 'then'),
    ]) {
      expect(review).not.toBe(text('plain'));
      expect(remembering(review).find(Buffer.from(next(review)))?.uid).toBe(uidOf(next(review)));
    }
  });

  it.each(['"', '\\', '\u0001', 'é', 'A', ' ', '}'])('a uid with %j in it is none', (character) => {
    const review = text('plain');
    const uid = `${character}${'0'.repeat(36)}`.slice(0, 36 - Buffer.byteLength(character) + character.length);
    const body = Buffer.from(review.replaceAll(uidOf(review), uid));
    expect(body).toHaveLength(review.length);
    expect(remembering(review).find(body)).toBeUndefined();
  });
});

describe('what is new in each review must not matter', () => {
  const review = text('plain');
  const [token = ''] = PLACES.token.exec(review) ?? [];
  const [time = ''] = PLACES.time.exec(review) ?? [];
  it.each([
    ['an image called like the token volume', { alike: alike(`[{"image":"registry.example/${token}:1"}]`) }],
    ['an annotation with the time', { alike: alike(`{"annotations":{"at":"${time}"}}`) }],
    ['an annotation with the uid', { alike: alike(`{"annotations":{"for":"${uidOf(review)}"}}`) }],
    ['a namespace called like the token volume', { request: { ...request, namespace: token } }],
    ['a Pod called like the token volume', { request: { ...request, pod: token } }],
    ['an owner called like the token volume', { request: { ...request, owners: [{ name: token }] } }],
  ])('%s: not remembered', (_, change) => {
    expect(remembering(review, change).size().entries).toBe(0);
  });

  it.each([
    ['the token volume as a part of a longer text', (value: string) => `"x":"${value}-1",`],
    ['the time after an escape that would swallow digits', () => `"x":"\\u${time}",`],
    ['the uid as a part of a longer text', () => `"x":"a${uidOf(review)}",`],
  ])('%s: not remembered', (_, extra) => {
    const strange = review.replace('"object":{', `"object":{${extra(token)}`);
    expect(remembering(strange).size().entries).toBe(0);
  });

  it('an API server writes the uid first: what begins otherwise is not remembered', () => {
    const { kind, apiVersion, request: parsed } = JSON.parse(review) as Record<string, object>;
    for (const other of [
      { apiVersion, kind, request: parsed },
      { kind, apiVersion, request: { ...parsed, uid: 'not-a-uid' } },
    ]) {
      expect(remembering(JSON.stringify(other)).size().entries).toBe(0);
    }
    const known = createKnownReviews(() => 0);
    known.keep(Buffer.from(review), uidOf(next(review)), { request, alike: alike() });
    expect(known.size().entries).toBe(0);
  });

  it('whatever bytes come, nothing is found that was not kept, and nothing throws', () => {
    const known = remembering(review);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: review.length, maxLength: review.length }), (bytes) => {
        expect(known.find(Buffer.from(bytes))).toBeUndefined();
      }),
    );
    for (const body of [Buffer.alloc(0), Buffer.alloc(review.length)]) expect(known.find(body)).toBeUndefined();
  });
});

describe('the memory is bounded', () => {
  const padded = (index: number, length: number): string =>
    text('plain').replace('"object":{', `"object":{"pad":"${String(index).padStart(length, '0')}",`);
  const keep = (known: KnownReviews, review: string, one = alike()): void =>
    known.keep(Buffer.from(review), uidOf(review), { request, alike: one });

  it('four texts of a kind: the latest', () => {
    const known = createKnownReviews(() => 0);
    for (let index = 0; index < 20; index += 1) keep(known, padded(index, 10));
    expect(known.size().entries).toBe(4);
    expect(known.find(Buffer.from(padded(15, 10)))).toBeUndefined();
    expect(known.find(Buffer.from(padded(16, 10)))).toBeDefined();
  });

  it('500 kinds', () => {
    const known = createKnownReviews(() => 0);
    for (let length = 1; length <= 400; length += 1) keep(known, padded(0, length));
    expect(known.size().entries).toBe(400);
    for (let index = 0; index < 200; index += 1) {
      keep(known, text('plain').replaceAll('"name":"plain"', `"name":"plain-${String(index).padStart(3, '0')}"`));
    }
    expect(known.size().entries).toBe(500);
  });

  it('8 MiB; none that is larger than 512 KiB', () => {
    const known = createKnownReviews(() => 0);
    for (let index = 0; index < 30; index += 1) keep(known, padded(index, 500_000 + index));
    expect(known.size().entries).toBeLessThan(20);
    expect(known.size().bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
    const { entries } = known.size();
    keep(known, padded(0, 600_000));
    expect(known.size().entries).toBe(entries);
    expect(known.find(Buffer.from(padded(0, 600_000)))).toBeUndefined();
  });

  it('nothing of Pods that are not remembered themselves, or with endless owners', () => {
    const known = createKnownReviews(() => 0);
    keep(known, text('plain'), { object: {}, pod: {} as Alike['pod'] });
    const owners = [{ name: 'x'.repeat(17_000) }];
    known.keep(Buffer.from(text('plain')), uidOf(text('plain')), { request: { ...request, owners }, alike: alike() });
    expect(known.size()).toEqual({ entries: 0, bytes: 0 });
  });

  it('one a second of Pods that are alike, for those of a StatefulSet never come again', () => {
    let now = 0;
    const known = createKnownReviews(() => now);
    const set = alike();
    keep(known, padded(0, 10), set);
    now = 999;
    keep(known, padded(1, 10), set);
    expect(known.size().entries).toBe(1);
    keep(known, padded(2, 10), alike());
    expect(known.size().entries).toBe(2);
    now = 1000;
    keep(known, padded(3, 10), set);
    expect(known.size().entries).toBe(3);
  });
});
