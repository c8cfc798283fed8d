import { X509Certificate } from 'node:crypto';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createAuthority, privatePem } from '../../../src/certificates/authority.ts';
import { createWorld, issuerOf, validAt, type World } from './world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const UNWRITTEN = 'the shared CA cannot be written';

describe('certificates of our own making', () => {
  let world: World;
  beforeEach(() => {
    world = createWorld();
  });
  afterEach(async () => await world.stop());

  const inSecret = (key: string): string => (world.secret.state === 'present' ? (world.secret.data[key] ?? '') : '');
  const issuer = (replica: ReturnType<World['replica']>): string | undefined =>
    ['current.crt', 'next.crt', 'previous.crt'].find(
      (key) => inSecret(key) !== '' && issuerOf(replica, [inSecret(key)]),
    );

  it('there is none before there is a CA: readiness says why', async () => {
    world.secret = { state: 'unseen', problem: 'GET /api/v1/…/secrets: forbidden' };
    const replica = world.replica('a');
    expect(() => replica.current()).toThrow('wait for `ready`');
    await expect.poll(() => replica.untrusted()).toBe('no CA yet: GET /api/v1/…/secrets: forbidden');
    expect(replica.status()).toEqual({ changeOver: false });
    world.secret = { state: 'absent' };
    world.refuse = new Error('may not create');
    world.poke();
    await expect.poll(() => replica.untrusted()).toBe('no CA yet: may not create');
    world.refuse = undefined;
    await world.pass(MINUTE);
    await replica.ready;
    expect(replica.untrusted()).toBeUndefined();
    expect(replica.status()).toMatchObject({ caExpires: world.date + 365 * DAY, changeOver: false });
  });

  it('a clock that jumps forward and back leaves no certificate in use that is not valid', async () => {
    const replica = world.replica('a');
    await replica.ready;
    for (const jump of [30 * DAY, -30 * DAY, -2 * HOUR, 100 * DAY, -100 * DAY]) {
      // The date alone: nothing has passed in truth.
      world.date += jump;
      world.poke();
      await expect.poll(() => validAt(replica, world.date)).toBe(true);
    }
    expect(world.caChanges()).toEqual(['a create: there was none']);
    expect(world.recordings.get('a')?.of('cluster.caChanged')).toEqual([['create']]);
  });

  it('wakes up by itself after a suspension, however long', async () => {
    const replica = world.replica('a', 0, { leaf: 1000 });
    await replica.ready;
    world.date += 40 * DAY;
    await expect.poll(() => validAt(replica, world.date)).toBe(true);
  });

  it('replaces a certificate before two thirds of its life are over, and tells the server', async () => {
    const replica = world.replica('a');
    await replica.ready;
    const changes: string[] = [];
    replica.onChange(({ cert }) => changes.push(cert));
    await world.pass(4 * DAY);
    expect(changes).toEqual([]);
    await world.pass(16 * HOUR);
    expect(changes).toEqual([replica.current().cert]);
    const expires = new Date(new X509Certificate(replica.current().cert).validTo);
    expect(world.recordings.get('a')?.lines.slice(-1)).toMatchObject([
      { level: 'info', message: 'certificate in use', fields: { reason: 'due', expires: expires.toISOString() } },
    ]);
    expect(world.recordings.get('a')?.of('certificate').slice(-1)).toEqual([[expires]]);
  });

  it('a new CA signs only after the registration has carried it for the overlap, on end', async () => {
    const replica = world.replica('a');
    await replica.ready;
    world.registration = { state: 'present', version: 'one', bundles: [[]] };
    await world.pass(MINUTE);
    const first = inSecret('current.crt');
    await world.pass(245 * DAY);
    await expect.poll(() => inSecret('next.crt')).not.toBe('');
    const next = inSecret('next.crt');
    await world.pass(MINUTE);
    // Somebody takes it away for a moment: API servers may have seen that.
    world.registration = { state: 'present', version: 'two', bundles: [[first]] };
    await world.pass(MINUTE);
    await world.pass(MINUTE);
    expect(inSecret('current.crt')).toBe(first);
    expect(world.registration).toMatchObject({ bundles: [[first, next]] });
    await world.pass(2 * MINUTE);
    expect(inSecret('current.crt')).toBe(next);
    expect(issuer(replica)).toBe('current.crt');
    expect(inSecret('previous.crt')).toBe(first);
    await world.pass(8 * DAY);
    expect(inSecret('previous.crt')).toBe('');
    await world.pass(5 * MINUTE);
    await world.pass(5 * MINUTE);
    expect(world.registration).toMatchObject({ bundles: [[next]] });
  });

  it('a registration that cannot be written keeps the old CA in use', async () => {
    const replica = world.replica('a');
    await replica.ready;
    const first = inSecret('current.crt');
    world.registration = { state: 'unseen' };
    await world.pass(245 * DAY);
    await world.pass(HOUR, 10);
    expect(inSecret('next.crt')).not.toBe('');
    expect(inSecret('current.crt')).toBe(first);
    expect(validAt(replica, world.date)).toBe(true);
  });

  it('an expired CA is replaced before anything is served', async () => {
    const ca = await createAuthority({ now: world.date - 400 * DAY, lifetimeMs: 365 * DAY });
    const data = { 'current.crt': ca.cert, 'current.key': privatePem(ca.key) };
    world.secret = { state: 'present', version: '1', data, ours: true, asked: false };
    const replica = world.replica('a');
    await expect.poll(() => inSecret('next.crt')).not.toBe('');
    expect(replica.untrusted()).toContain('another one is about to take over');
    await world.pass(20_000, 4);
    await replica.ready;
    expect(issuer(replica)).toBe('current.crt');
    expect(validAt(replica, world.date)).toBe(true);
  });

  it.each([
    ['years ahead', 2 * 365 * DAY],
    ['years behind', -2 * 365 * DAY],
  ])('one replica whose clock is %s cannot take the CA from the others', async (_name, ahead) => {
    const good = world.replica('good');
    await good.ready;
    const first = inSecret('current.crt');
    world.replica('bad', ahead);
    await world.pass(5 * MINUTE, 20);
    expect(inSecret('current.crt')).toBe(first);
    expect(world.caChanges().filter((line) => line.includes('promote'))).toEqual([]);
    // Not in a hot loop either.
    expect(world.caChanges().filter((line) => line.startsWith('bad prepare')).length).toBeLessThan(20);
  });

  it("somebody else's Secret is left alone, and readiness says so", async () => {
    world.secret = { state: 'present', version: '1', data: { password: 'hunter2' }, ours: false, asked: false };
    const replica = world.replica('a');
    await world.pass(HOUR, 3);
    expect(inSecret('password')).toBe('hunter2');
    expect(replica.untrusted()).toBe(
      'no CA yet: current.crt: missing; it does not bear our label, so it is left alone: delete it or choose another name',
    );
  });

  it('nonsense in our own Secret is replaced by those who know better, or after a while by a new CA', async () => {
    const data = { 'current.crt': 'nonsense', 'current.key': 'nonsense' };
    world.secret = { state: 'present', version: '1', data, ours: true, asked: false };
    const replica = world.replica('a');
    await world.pass(4000);
    expect(inSecret('current.crt')).toBe('nonsense');
    await world.pass(1000);
    await replica.ready;
    expect(issuer(replica)).toBe('current.crt');
    const good = inSecret('current.crt');
    world.secret = { state: 'present', version: '0', data, ours: true, asked: false };
    await world.pass(MINUTE);
    expect(inSecret('current.crt')).toBe(good);
    expect(world.caChanges().filter((line) => line.includes('restore'))).toEqual([
      'a restore: current: no PEM certificate in it',
    ]);
  });

  it('a CA put in by hand is not signed with before the registration has carried it', async () => {
    const replica = world.replica('a');
    await replica.ready;
    world.registration = { state: 'present', version: 'one', bundles: [[]] };
    await world.pass(MINUTE);
    const first = inSecret('current.crt');
    const mine = await createAuthority({ now: world.date, lifetimeMs: 365 * DAY });
    const data = { 'current.crt': mine.cert, 'current.key': privatePem(mine.key) };
    world.secret = { state: 'present', version: '0', data, ours: true, asked: false };
    await world.pass(MINUTE);
    expect(issuerOf(replica, [first])).toBe(first);
    expect(world.registration).toMatchObject({ bundles: [[mine.cert, first]] });
    await world.pass(MINUTE);
    await world.pass(MINUTE);
    expect(issuer(replica)).toBe('current.crt');
    expect(replica.untrusted()).toBeUndefined();
  });

  it('writes nothing, and takes nothing away, while the API server is not heard of', async () => {
    const replica = world.replica('a');
    await replica.ready;
    world.inContact = false;
    world.secret = { state: 'absent' };
    const other = await createAuthority({ now: world.date, lifetimeMs: 365 * DAY });
    world.registration = { state: 'present', version: 'one', bundles: [[other.cert]] };
    await world.pass(HOUR, 5);
    expect(world.secret).toEqual({ state: 'absent' });
    // Another replica may know of that CA.
    expect(world.registration).toMatchObject({ bundles: [[expect.any(String), other.cert]] });
    world.inContact = true;
    await world.pass(HOUR, 3);
    expect(world.caChanges().filter((line) => line.includes('restore'))).toEqual(['a restore: the Secret was deleted']);
    expect(world.registration).toMatchObject({ bundles: [[inSecret('current.crt')]] });
  });

  it('goes on after any failure to write, in growing intervals, counts each, and says it once', async () => {
    world.refuse = new Error('the API server has a bad day');
    const replica = world.replica('a');
    const { of, messages } = world.recordings.get('a')!;
    await world.pass(9 * MINUTE, 27);
    expect(messages()).toEqual([UNWRITTEN]);
    await world.pass(MINUTE, 3);
    const failures = of('cluster.apiFailed');
    expect(failures.length).toBeGreaterThan(5);
    expect(failures.length).toBeLessThan(31);
    expect(new Set(failures.map((failure) => failure.join(' ')))).toEqual(new Set(['certificates Error']));
    world.refuse = undefined;
    await world.pass(MINUTE);
    await replica.ready;
    expect(messages()).toContain(`over: ${UNWRITTEN}`);
  });

  it('after close it does nothing more', async () => {
    const replica = world.replica('a');
    await replica.ready;
    await replica.close();
    const { lines, counted } = world.recordings.get('a')!;
    const before = [lines.length, counted.length];
    await world.pass(300 * DAY);
    expect([lines.length, counted.length]).toEqual(before);
  });
});
