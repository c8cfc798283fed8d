import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createKnownReviews, type KnownReviews } from '../../../src/admission/known-reviews.ts';
import type { Alike } from '../../../src/admission/template-cache.ts';
import type { ContainerView } from '../../../src/policy/model.ts';
import { fixture } from '../../support/reviews.ts';

const CREATED = ['plain', 'mixed', 'generated', 'storefront', 'postgres-0', 'report', 'node-agent', 'hostnet'];

/** As an API server sent it: on one line, in the same order. */
const text = (name: string): string => JSON.stringify(fixture(name));

const alike = (key = 'what is read', ...containers: Partial<ContainerView>[]): Alike => {
  const pod = { containers } as unknown as Alike['pod'];
  return { object: {}, pod, template: { object: {}, pod, key, label: null } };
};
/** That have met the command lines of these Pods before. */
function createReviews(now: () => number = () => 0): KnownReviews {
  const known = createKnownReviews(now);
  known.keep(Buffer.from(''), '', { request, alike: alike() });
  return known;
}

const request = { namespace: 'shop', pod: 'web', dryRun: false, owners: undefined };

const uidOf = (review: string): string => /"request":\{"uid":"([^"]*)"/.exec(review)?.[1] ?? '';

function remembering(review: string, change: Partial<Parameters<KnownReviews['keep']>[2]> = {}): KnownReviews {
  const known = createReviews();
  const all = { request, alike: alike(), ...change };
  for (let time = 0; time < 2; time += 1) known.keep(Buffer.from(review), uidOf(review), all);
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

describe('reviews of the Pods of a StatefulSet', () => {
  const REQUEST = { namespace: 'shop', pod: 'postgres-0', dryRun: false, owners: [{ name: 'postgres' }] };
  const first = text('postgres-0').replace(
    '"volumes":[',
    '"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-postgres-0"}},',
  );
  /** Its Pod of that number. */
  const numbered = (number: number | string, review = first): string =>
    next(review)
      .replaceAll(/(?<=["-])postgres-0(?="[,}\]])/g, `postgres-${number}`)
      .replace('pod-index":"0"', `pod-index":"${number}"`);
  const found = (known: KnownReviews, review: string): unknown => known.find(Buffer.from(review))?.request;

  it('one is known by the text of another, and is called as it is', () => {
    expect(first.match(/postgres-0"/g)).toHaveLength(5);
    const known = remembering(first, { request: REQUEST });
    for (const number of [1, 2, 0, 9]) {
      expect(found(known, numbered(number))).toEqual({ ...REQUEST, pod: `postgres-${number}` });
    }
    expect(found(known, first)).toEqual(REQUEST);
  });

  it('a longer number is another text', () => {
    expect(found(remembering(first, { request: REQUEST }), numbered(10))).toBeUndefined();
    const ten = remembering(numbered(10), { request: { ...REQUEST, pod: 'postgres-10' } });
    expect(found(ten, numbered(47))).toEqual({ ...REQUEST, pod: 'postgres-47' });
    expect(found(ten, numbered('4x'))).toBeUndefined();
  });

  it('by its name in one place and another in the next, it is another', () => {
    const known = remembering(first, { request: REQUEST });
    const second = numbered(1);
    for (const { index } of second.matchAll(/postgres-1"/g)) {
      const other = `${second.slice(0, index)}postgres-2${second.slice(index + 'postgres-2'.length)}`;
      expect(found(known, other)).toBeUndefined();
    }
    expect(found(known, second)).toBeDefined();
    // The number in the label is a value of its own: nobody reads it.
    expect(found(known, second.replace('pod-index":"1"', 'pod-index":"7"'))).toBeDefined();
    expect(found(known, second.replace('pod-index":"1"', 'pod-index":"\\"'))).toBeUndefined();
  });

  it('the name of another Pod of the set in the template is a part of it', () => {
    const template = first.replace(
      '"containers":[{',
      '"containers":[{"env":[{"name":"HOST","value":"postgres-0.postgres"}],',
    );
    const known = remembering(template, { request: REQUEST });
    expect(found(known, numbered(3, template))).toMatchObject({ pod: 'postgres-3' });
    expect(found(known, numbered(3, template).replace('postgres-0.postgres', 'postgres-3.postgres'))).toBeUndefined();
  });

  it.each([
    ['a command line', () => alike('', { command: [], args: ['--primary', 'postgres-0'] })],
    ['an image', () => alike('[{"image":"registry.example/postgres-0"}]')],
  ])('with its name in %s, which is read, only itself is known', (_, reading) => {
    const known = remembering(first, { request: REQUEST, alike: reading() });
    expect(found(known, next(first))).toEqual(REQUEST);
    expect(found(known, numbered(1))).toBeUndefined();
    const third = remembering(numbered(3), { request: { ...REQUEST, pod: 'postgres-3' }, alike: reading() });
    expect(found(third, numbered(1))).toMatchObject({ pod: 'postgres-1' });
  });

  it('with its number where it is read, only those of that number are known', () => {
    const read = alike('{"annotations":{"apps.kubernetes.io/pod-index":"0"}}');
    const known = remembering(first, { request: REQUEST, alike: read });
    expect(found(known, numbered(1))).toBeUndefined();
    expect(found(known, numbered(1).replace('pod-index":"1"', 'pod-index":"0"'))).toMatchObject({ pod: 'postgres-1' });
  });

  it('a name that is not the one in its place is not taken for it', () => {
    const known = remembering(first, { request: { ...REQUEST, pod: 'postgres-8' } });
    expect(found(known, next(first))).toMatchObject({ pod: 'postgres-8' });
    expect(found(known, numbered(1))).toBeUndefined();
  });

  it('a name in more than a hundred places belongs to the template', () => {
    const template = first.replace(
      '"containers":[{',
      `"containers":[{"env":[${'"postgres-0",'.repeat(94)}"postgres-0"],`,
    );
    const known = remembering(template, { request: REQUEST });
    expect(found(known, numbered(1, template))).toBeDefined();
    const more = template.replace('"env":[', '"env":["postgres-0",');
    expect(found(remembering(more, { request: REQUEST }), numbered(1, more))).toBeUndefined();
    expect(found(remembering(more, { request: REQUEST }), next(more))).toBeDefined();
  });

  it('all of one length are one kind', () => {
    const known = createReviews();
    for (let number = 10; number < 100; number += 1) {
      const review = numbered(number);
      const pod = `postgres-${number}`;
      if (found(known, review) === undefined)
        known.keep(Buffer.from(review), uidOf(review), { request: { ...REQUEST, pod }, alike: alike() });
    }
    expect(known.size().entries).toBe(1);
  });
});

describe("reviews of an Indexed Job's Pods", () => {
  const INDEX = '"batch.kubernetes.io/job-completion-index":"0"';
  const REQUEST = { namespace: 'staging', pod: 'report-29920072-0-', dryRun: false, owners: undefined };
  const first = text('report')
    .replace('"generateName":"report-29920072-"', '"generateName":"report-29920072-0-"')
    .replace('"labels":{', `"annotations":{${INDEX}},"labels":{${INDEX},`)
    .replace('"dnsPolicy":', '"hostname":"report-29920072-0","dnsPolicy":');
  const numbered = (number: number, review = first): string =>
    next(review)
      .replaceAll('072-0', `072-${number}`)
      .replaceAll(INDEX, INDEX.replace('0', String(number)));
  const found = (known: KnownReviews, review: string): unknown => known.find(Buffer.from(review))?.request;

  it('are known, each by what its name is generated from', () => {
    expect(first.match(/072-0/g)).toHaveLength(2);
    expect(first.split(INDEX)).toHaveLength(3);
    const known = remembering(first, { request: REQUEST });
    for (const number of [1, 9, 0]) {
      expect(found(known, numbered(number))).toEqual({ ...REQUEST, pod: `report-29920072-${number}-` });
    }
    expect(found(known, numbered(10))).toBeUndefined();
  });

  it('are told apart where the number is another in one place', () => {
    const known = remembering(first, { request: REQUEST });
    const second = numbered(1);
    for (const { index } of second.matchAll(/072-1|index":"1/g)) {
      const at = index + second.slice(index).indexOf('1');
      expect(found(known, `${second.slice(0, at)}2${second.slice(at + 1)}`)).toBeUndefined();
    }
    expect(found(known, second)).toBeDefined();
  });

  it.each([
    ['what its name is generated from', '["report-29920072-0-"]'],
    ['its hostname', '["report-29920072-0"]'],
    ['its number', `{${INDEX}}`],
  ])('with %s where it is read, only itself is known', (_, key) => {
    const known = remembering(first, { request: REQUEST, alike: alike(key) });
    expect(found(known, next(first))).toEqual(REQUEST);
    expect(found(known, numbered(1))).toBeUndefined();
  });

  it('a name that is generated from another is not taken for it', () => {
    const known = remembering(first, { request: { ...REQUEST, pod: 'report-29920072-8-' } });
    expect(found(known, next(first))).toMatchObject({ pod: 'report-29920072-8-' });
    expect(found(known, numbered(1))).toBeUndefined();
  });
});

describe("reviews of a DaemonSet's Pods", () => {
  const first = text('node-agent');
  const on = (node: string, review = first): string =>
    next(review).replace('"values":["node-a"]', `"values":["${node}"]`);

  it('are known on every node whose name is as long', () => {
    expect(first).toContain('"values":["node-a"]');
    const known = remembering(first);
    for (const node of ['node-b', 'node-c', 'a.b.cd', 'node-a']) {
      expect(known.find(Buffer.from(on(node)))?.uid).toBe(uidOf(on(node)));
    }
    for (const node of ['node-10', 'node"b', 'node-é', 'node B', 'node\\"'])
      expect(known.find(Buffer.from(on(node)))).toBeUndefined();
  });

  it('are told apart by it where it is read', () => {
    const read = '{"matchFields":[{"key":"metadata.name","operator":"In","values":["node-a"]}]}';
    const known = remembering(first, { alike: alike(read) });
    expect(known.find(Buffer.from(on('node-b')))).toBeUndefined();
    expect(known.find(Buffer.from(on('node-a')))).toBeDefined();
  });

  it('name it in one place alone', () => {
    const twice = first.replace('"containers":[{', '"containers":[{"env":[{"name":"NODE","value":"node-a"}],');
    const known = remembering(twice);
    expect(known.find(Buffer.from(on('node-b', twice)))?.uid).toBe(uidOf(next(twice)));
    expect(known.find(Buffer.from(on('node-b', twice).replaceAll('"node-a"', '"node-b"')))).toBeUndefined();
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
    [
      'the token volume in more than a hundred places',
      (value: string) => `"x":[${`"${value}",`.repeat(100)}"${value}"],`,
    ],
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
    const known = createReviews();
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

  it('eight texts of a kind: the latest', () => {
    const known = createReviews();
    for (let index = 0; index < 20; index += 1) keep(known, padded(index, 10));
    expect(known.size().entries).toBe(8);
    expect(known.find(Buffer.from(padded(11, 10)))).toBeUndefined();
    expect(known.find(Buffer.from(padded(12, 10)))).toBeDefined();
  });

  it('500 kinds', () => {
    const known = createReviews();
    for (let length = 1; length <= 400; length += 1) keep(known, padded(0, length));
    expect(known.size().entries).toBe(400);
    for (let index = 0; index < 200; index += 1) {
      keep(known, text('plain').replaceAll('"name":"plain"', `"name":"plain-${String(index).padStart(3, '0')}x"`));
    }
    expect(known.size().entries).toBe(500);
  });

  it('8 MiB; none that is larger than 512 KiB', () => {
    const known = createReviews();
    for (let index = 0; index < 30; index += 1) keep(known, padded(index, 500_000 + index));
    expect(known.size().entries).toBeLessThan(20);
    expect(known.size().bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
    const { entries } = known.size();
    keep(known, padded(0, 600_000));
    expect(known.size().entries).toBe(entries);
    expect(known.find(Buffer.from(padded(0, 600_000)))).toBeUndefined();
  });

  it('nothing of Pods that are not remembered themselves, or with endless owners', () => {
    const known = createReviews();
    keep(known, text('plain'), { object: {}, pod: {} as Alike['pod'] });
    const owners = [{ name: 'x'.repeat(17_000) }];
    known.keep(Buffer.from(text('plain')), uidOf(text('plain')), { request: { ...request, owners }, alike: alike() });
    expect(known.size()).toEqual({ entries: 0, bytes: 0 });
  });

  it('nothing of Pods with command lines that are met for the first time', () => {
    const known = createReviews();
    const running = (index: number): Alike => alike('key', { command: ['run'], args: [`--step=${index}`] });
    for (let index = 0; index < 5000; index += 1) keep(known, padded(index, 10), running(index));
    expect(known.size().entries).toBe(0);
    keep(known, padded(5000, 10), running(4999));
    expect(known.size().entries).toBe(1);
    const endless = alike('key', { command: [], args: ['x'.repeat(17_000)] });
    for (let time = 0; time < 3; time += 1) keep(known, padded(time, 20), endless);
    expect(known.size().entries).toBe(1);
  });

  it('one a second of Pods that are alike, for some have a text each and never come again', () => {
    let now = 0;
    const known = createReviews(() => now);
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
