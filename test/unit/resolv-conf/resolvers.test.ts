import { describe, expect, it } from 'vitest';

import { readByGlibc, readByGo, readByMusl } from '../../../src/resolv-conf/resolvers.ts';

const conf = (options: string[], searches: string[] = [], servers = ['10.96.0.10']) => ({ servers, searches, options });

describe('musl', () => {
  it.each([
    { options: [], resendMs: 2500, giveUpMs: 5000 },
    { options: ['timeout:5', 'attempts:10'], resendMs: 500, giveUpMs: 5000 },
    { options: ['timeout:1'], resendMs: 500, giveUpMs: 1000 },
    { options: ['timeout:90', 'attempts:90'], resendMs: 6000, giveUpMs: 60_000 },
    { options: ['timeout:x', 'attempts'], resendMs: 2500, giveUpMs: 5000 },
  ])('$options: an unanswered query is sent again after $resendMs ms, given up after $giveUpMs', (row) => {
    expect(readByMusl(conf(row.options))).toMatchObject({
      resendMs: row.resendMs,
      giveUpMs: row.giveUpMs,
      atOnce: true,
    });
  });

  it('ignores what is not ndots, timeout or attempts', () => {
    const view = readByMusl(conf(['ndots:5', 'use-vc', 'single-request-reopen', 'rotate']));
    expect(view).toMatchObject({ ndots: 5, tcp: false, atOnce: true });
    expect(view.notes).toEqual(['use-vc is ignored', 'single-request-reopen is ignored', 'rotate is ignored']);
  });

  it.each([
    { length: 254, kept: true },
    { length: 255, kept: false },
  ])('a search line of $length characters and its newline is read: $kept', ({ length, kept }) => {
    const search = 'a'.repeat(length - 'search '.length);
    const view = readByMusl(conf([], [search]));
    expect(view.searches).toEqual(kept ? [search] : []);
    expect(view.notes.some((note) => note.includes('254'))).toBe(!kept);
  });

  it.each([
    { length: 254, ndots: 5, resendMs: 500 },
    { length: 255, ndots: 1, resendMs: 2500 },
  ])('an options line of $length characters and its newline: ndots is $ndots', ({ length, ndots, resendMs }) => {
    const known = ['ndots:5', 'attempts:10'];
    const view = readByMusl(conf([...known, 'x'.repeat(length - `options ${known.join(' ')} `.length)]));
    expect(view).toMatchObject({ ndots, resendMs });
    expect(view.notes.some((note) => note.includes('254'))).toBe(length > 254);
  });

  it.each(['attempts:0', 'timeout:0'])('%s leaves no time to ask again', (option) => {
    expect(readByMusl(conf([option])).resendMs).toBe(0);
  });

  it('says what crashes or fails it', () => {
    expect(readByMusl(conf(['attempts:0'])).notes.join()).toContain('crashes');
    expect(readByMusl(conf(['timeout:0'])).notes.join()).toContain('fails every look-up');
  });

  it('asks at most three servers, or the local one', () => {
    expect(readByMusl(conf([], [], ['1', '2', '3', '4'])).servers).toEqual(['1', '2', '3']);
    expect(readByMusl(conf([], [], [])).servers).toEqual(['127.0.0.1']);
  });
});

describe('glibc', () => {
  it.each([
    { options: [], atOnce: true, tcp: false, resendMs: 5000, giveUpMs: 10_000 },
    { options: ['single-request'], atOnce: false, tcp: false, resendMs: 5000, giveUpMs: 10_000 },
    { options: ['single-request-reopen'], atOnce: false, tcp: false, resendMs: 5000, giveUpMs: 10_000 },
    { options: ['use-vc'], atOnce: false, tcp: true, resendMs: 5000, giveUpMs: 10_000 },
    {
      options: ['timeout:99', 'attempts:99', 'ndots:99'],
      atOnce: true,
      tcp: false,
      resendMs: 30_000,
      giveUpMs: 150_000,
    },
  ])('$options', ({ options, ...expected }) => {
    expect(readByGlibc(conf(options))).toMatchObject(expected);
  });

  it('caps ndots at 15, keeps long search lines', () => {
    const view = readByGlibc(conf(['ndots:99'], ['a'.repeat(250)]));
    expect(view.ndots).toBe(15);
    expect(view.searches).toHaveLength(1);
  });
});

describe('Go', () => {
  it('knows use-vc and the single-request options, and says which ones send it to libc', () => {
    expect(readByGo(conf(['use-vc', 'single-request-reopen', 'ndots:5']))).toMatchObject({ tcp: true, notes: [] });
    expect(readByGo(conf(['no-aaaa'])).notes).toHaveLength(1);
  });

  it('takes a timeout or attempts of 0 as 1', () => {
    expect(readByGo(conf(['timeout:0', 'attempts:0']))).toMatchObject({ resendMs: 1000, giveUpMs: 1000 });
  });
});
