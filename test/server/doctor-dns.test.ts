import { spawnSync } from 'node:child_process';

import { afterEach, describe, expect, it } from 'vitest';

import { askTcp, askUdp } from '../../src/doctor/dns/ask.ts';
import { judgeRace, measureRace, type RaceLimits } from '../../src/doctor/dns/race.ts';
import { type DnsServerOptions, startDnsServer, type TestDnsServer } from '../support/dns-server.ts';

const NAME = 'kubernetes.default.svc.cluster.local';
const LIMITS: RaceLimits = { pairs: 30, lostMs: 150, enough: 4, totalMs: 25_000 };

let server: TestDnsServer | undefined;
const serve = async (options: DnsServerOptions = {}) => {
  server = await startDnsServer(options);
  return { address: '127.0.0.1', port: server.port };
};
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const measure = async (
  options: DnsServerOptions,
  limits: Partial<RaceLimits> = {},
  signal = new AbortController().signal,
) => await measureRace(await serve(options), NAME, { ...LIMITS, ...limits }, signal);

describe('a question over UDP', () => {
  it.each<[string, DnsServerOptions, object]>([
    ['is answered', {}, { answer: { code: 'NOERROR', answers: 1 } }],
    ['is answered with an error', { code: 3 }, { answer: { code: 'NXDOMAIN', answers: 0 } }],
    ['is lost', { lose: 'all' }, { error: 'no answer' }],
    ['is answered with an id of somebody else', { wrongId: true }, { error: 'no answer' }],
  ])('%s', async (_, options, expected) => {
    expect(await askUdp(await serve(options), NAME, 200)).toMatchObject(expected);
  });

  it('is refused, for nobody listens', async () => {
    const { address, port } = await serve();
    await server?.close();
    server = undefined;
    expect(await askUdp({ address, port }, NAME, 1000)).toMatchObject({ error: 'ECONNREFUSED' });
  });
});

describe('a question over TCP', () => {
  it.each<[string, DnsServerOptions, object]>([
    ['is answered, in pieces', {}, { answer: { code: 'NOERROR' } }],
    ['is answered with an error', { code: 5 }, { answer: { code: 'REFUSED' } }],
    ['is not taken', { tcp: 'refuse' }, { error: 'ECONNREFUSED' }],
    ['is taken and not answered', { tcp: 'deaf' }, { error: 'no answer' }],
    [
      'is answered by something that is no DNS server',
      { tcp: 'garbage' },
      { error: 'something else than an answer came' },
    ],
  ])('%s', async (_, options, expected) => {
    expect(await askTcp(await serve(options), NAME, 500)).toMatchObject(expected);
  });
});

it.each([
  ['UDP', askUdp],
  ['TCP', askTcp],
])('a question over %s is answered though the process stood still for longer than it waits', async (_, ask) => {
  const asked = ask(await serve(), NAME, 100);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  expect(await asked).toMatchObject({ answer: { code: 'NOERROR' } });
});

describe('A and AAAA at once from one socket', () => {
  it('on a good path: all are answered, and nothing is claimed beyond what was measured', async () => {
    const race = await measure({});
    expect(race.pairs).toHaveLength(LIMITS.pairs);
    expect(race.alone).toEqual({ sent: LIMITS.pairs, lost: 0 });
    expect(judgeRace('127.0.0.1', race, false)).toMatchObject({
      status: 'ok',
      details: ['so fewer than 10 % do, from here, now: a race needs luck and load'],
    });
  });

  it('on a path that loses the second packet of a new connection: AAAA is lost, and answered when sent again', async () => {
    const race = await measure({ lose: 'second' });
    expect(race.pairs).toEqual(Array.from({ length: 4 }, () => ({ lost: ['AAAA'], again: true })));
    expect(race.alone.lost).toBe(0);
    expect(judgeRace('127.0.0.1', race, false)).toMatchObject({
      status: 'failure',
      seen: '127.0.0.1: 4 of 4 look-ups lost one of its two answers: the race, glibc waits 5 s and musl 2.5 s before they ask again',
      data: { lost: 4, lostA: 0, lostAAAA: 4, answeredAgain: 4, aloneLost: 0 },
    });
    expect(judgeRace('127.0.0.1', race, true)).toMatchObject({ status: 'warning' });
  });

  it.each([[0.5], [0.3], [0.15]])('on a path that loses %d of all packets: it is no race', async (lose) => {
    const race = await measure({ lose });
    expect(race.alone.lost).toBeGreaterThan(0);
    expect(judgeRace('127.0.0.1', race, false)).toMatchObject({
      status: 'warning',
      seen: expect.stringContaining('no race') as string,
    });
  });

  it('where nobody answers: it ends when enough was lost', async () => {
    const race = await measure({ lose: 'all' });
    expect(race.pairs).toEqual(Array.from({ length: 4 }, () => ({ lost: ['A', 'AAAA'], again: false })));
    expect(judgeRace('127.0.0.1', race, false)).toMatchObject({ status: 'warning' });
  });

  it('ends at its limits and when it is told to', async () => {
    expect((await measure({}, { totalMs: 0 })).pairs).toHaveLength(0);
    await server?.close();
    expect((await measure({}, {}, AbortSignal.abort())).pairs).toHaveLength(0);
  });
});

it('doctor outside of a cluster says how to ask in a Pod: with an image of this program, and where to get one', () => {
  const { stdout } = spawnSync(process.execPath, ['src/main.ts', 'doctor', '--check', 'dns-udp'], {
    encoding: 'utf8',
    env: { HOME: '/nonexistent' },
  });
  const said = stdout.replaceAll(/\s+/g, ' ');
  expect(said).toContain('In a Pod (IMAGE: see https://github.com/libc-dns/libc-dns-webhook#install-it):');
  expect(said).toContain('kubectl run libc-dns-doctor --rm -i --restart=Never --image=IMAGE -- doctor --check dns');
});
