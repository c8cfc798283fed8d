import { setTimeout as wait } from 'node:timers/promises';

import { beforeEach, describe, expect, it } from 'vitest';

import {
  type CloudLogin,
  type CloudLogins,
  createCloudLogins,
  describeCloudError,
} from '../../../../src/registry/cloud/logins.ts';
import { manualClock } from '../../../support/registry-harness.ts';

const minutes = (count: number) => count * 60_000;

let clock: ReturnType<typeof manualClock>;
let problems: string[];
let logins: CloudLogins;
/** What the cloud does when it is asked next, and how often it was. */
let cloud: { answer: () => Promise<CloudLogin>; asked: number };

const good = (lifeMs: number) => async (): Promise<CloudLogin> => ({
  credential: { username: 'u', password: `p${cloud.asked}` },
  expiresAt: clock.now() + lifeMs,
});
const ask = async () => {
  const credential = await logins.get('aws eu-central-1', async () => {
    cloud.asked += 1;
    return await cloud.answer();
  });
  return credential?.password;
};

beforeEach(() => {
  clock = manualClock();
  problems = [];
  logins = createCloudLogins({ clock, onProblem: (message) => problems.push(message), timeoutMs: 50 });
  cloud = { answer: good(minutes(60)), asked: 0 };
});

describe('a login', () => {
  it('is asked for once, by all who need it at the same time', async () => {
    expect(new Set(await Promise.all(Array.from({ length: 100 }, ask)))).toEqual(new Set(['p1']));
    expect(cloud.asked).toBe(1);
  });

  it.each([
    ['12 hours', minutes(720), minutes(715)],
    ['an hour', minutes(60), minutes(55)],
    ['4 minutes', minutes(4), minutes(3)],
    ['a second', 1000, minutes(1)],
    ['no time at all', -minutes(1), minutes(1)],
    ['a year, so it says', minutes(525_600), minutes(715)],
  ])('that lives %s is renewed in time', async (_, lifeMs, renewedAfter) => {
    cloud.answer = good(lifeMs);
    await ask();
    clock.advance(renewedAfter - 1);
    expect(await ask()).toBe('p1');
    clock.advance(1);
    expect(await ask()).toBe('p2');
  });

  it('that cannot be renewed is used while it lives', async () => {
    await ask();
    cloud.answer = async () => await Promise.reject(new Error('down'));
    clock.advance(minutes(56));
    expect(await ask()).toBe('p1');
    expect(await ask()).toBe('p1');
    expect(cloud.asked).toBe(2);
    clock.advance(minutes(4));
    expect(await ask()).toBeUndefined();
  });

  it('is renewed when the clock was set back', async () => {
    await ask();
    clock.advance(-minutes(600));
    expect(await ask()).toBe('p2');
  });

  it.each([
    ['refused', async () => await Promise.reject(new Error('AccessDenied')), 'AccessDenied'],
    ['no error', async () => await Promise.reject('s3cr3t'), 'unknown error'],
    ['hanging', async () => await wait(60_000, undefined as never, { ref: false }), 'no answer within 0.05 s'],
  ] as const)('%s is asked for again after half a minute, and not before', async (_, answer, message) => {
    cloud.answer = answer;
    expect(await ask()).toBeUndefined();
    clock.advance(29_999);
    expect(await ask()).toBeUndefined();
    expect(cloud.asked).toBe(1);
    expect(problems).toEqual([`aws eu-central-1: ${message}`]);
    clock.advance(1);
    cloud.answer = good(minutes(60));
    expect(await ask()).toBe('p2');
  });
});

describe("an SDK's error", () => {
  const jwt = `${'e'.repeat(40)}.${'f'.repeat(40)}.${'g'.repeat(40)}`;
  it.each([
    ['by name and message', Object.assign(new Error('no'), { name: 'AccessDenied' }), 'AccessDenied: no'],
    ['by its first line', new Error('one\ntwo'), 'one'],
    ['without a token in it', new Error(`token ${jwt} is bad`), 'token … is bad'],
    ['without a token in base64', new Error(`${Buffer.alloc(90, 's3').toString('base64')} refused`), '… refused'],
    ['shortly', new Error('no '.repeat(100_000)), 'no '.repeat(100)],
  ])('is told %s', (_, error, expected) => {
    expect(describeCloudError(error)).toBe(expected);
  });
});
