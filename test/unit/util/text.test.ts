import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  compareTexts,
  counted,
  isoTime,
  messageOf,
  printable,
  replaceWithin,
  shellWord,
  withoutTrailing,
} from '../../../src/util/text.ts';

describe("somebody else's text", () => {
  it.each<[string, string, string]>([
    ['a name', 'api.example', 'api.example'],
    ['other scripts', 'schön 日本 🦀 שלום', 'schön 日本 🦀 שלום'],
    ['escape sequences of a terminal', '\u001B[31mred\u0007', '\\u{1b}[31mred\\u{7}'],
    ['C1 control characters', '\u009B2J', '\\u{9b}2J'],
    ['line ends', 'two\r\nlines\u0085\u2028\u2029', 'two\\u{d}\\u{a}lines\\u{85}\\u{2028}\\u{2029}'],
    ['bidirectional overrides', 'a\u202Egnp.exe\u202C', 'a\\u{202e}gnp.exe\\u{202c}'],
    ['bidirectional isolates', '\u2066x\u2069', '\\u{2066}x\\u{2069}'],
    ['what takes no room', '\u200B\uFEFF\u00AD', '\\u{200b}\\u{feff}\\u{ad}'],
    ['format characters beyond the first plane', '\u{E0041}', '\\u{e0041}'],
    ['half of a pair', 'x\uD83Dy', 'x\uFFFDy'],
    ['nothing', '', ''],
  ])('%s', (_, text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it.each<[string, string, number, string]>([
    ['as long as it may be', 'abc', 3, 'abc'],
    ['too long', 'abcd', 3, 'abc…'],
    ['too long once it is spelled out', 'a\nb', 5, 'a\\u{a…'],
    ['in the middle of a pair', 'a🦀b', 2, 'a\uFFFD…'],
    ['nothing may stay', 'a', 0, '…'],
  ])('is cut: %s', (_, text, most, expected) => {
    expect(printable(text, most)).toBe(expected);
  });

  it('is one line of bounded length, whatever it was; what is printable stays as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(50), (text, most) => {
        const shown = printable(text, most);
        expect(shown.length).toBeLessThanOrEqual(most + 1);
        expect(shown.isWellFormed()).toBe(true);
        expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        expect(printable(shown)).toBe(shown);
      }),
    );
  });
});

describe('the message of what was thrown', () => {
  it.each<[string, unknown, string]>([
    ['an error', new TypeError('no such file'), 'no such file'],
    ['an error without a message', new AggregateError([new Error('refused')]), 'AggregateError'],
    ['a text', 'gone', 'gone'],
    ['nothing', undefined, 'undefined'],
  ])('%s', (_, thrown, expected) => {
    expect(messageOf(thrown)).toBe(expected);
  });
});

describe('texts', () => {
  it.each([
    [0, '0 Pods'],
    [1, '1 Pod'],
    [2, '2 Pods'],
  ])('%d is counted as %s', (count, expected) => {
    expect(counted(count, 'Pod')).toBe(expected);
  });

  it.each([
    ['kube-system', 'kube-system'],
    ['two words', "'two words'"],
    ["it's", String.raw`'it'\''s'`],
    ['', "''"],
  ])('%j is %s as a word of a shell', (text, expected) => {
    expect(shellWord(text)).toBe(expected);
  });

  it('are compared one after the other, by code units', () => {
    const lists = [['b'], ['a', 'é'], ['a'], ['a', 'z'], ['B']];
    expect(lists.toSorted(compareTexts)).toEqual([['B'], ['a'], ['a', 'z'], ['a', 'é'], ['b']]);
  });
});

describe('replacing within a length', () => {
  const double = (text: string, most: number) => replaceWithin(text, /b/g, most, ([match]) => match.repeat(2));

  it.each([
    ['', 0, ''],
    ['abcb', 6, 'abbcbb'],
    ['abcb', 5, undefined],
    ['aaaa', 4, 'aaaa'],
    ['aaaa', 3, undefined],
  ])('%j within %i is %j', (text, most, expected) => {
    expect(double(text, most)).toBe(expected);
  });

  it('builds no more than that', () => {
    let calls = 0;
    const large = 'x'.repeat(1 << 20);
    const replace = (): string => {
      calls += 1;
      return large;
    };
    expect(replaceWithin('b'.repeat(1 << 20), /b/g, 4 << 20, replace)).toBeUndefined();
    expect(calls).toBe(5);
  });
});

describe('characters at the end', () => {
  it.each<[string, string]>([
    ['a/b//', 'a/b'],
    ['/a', '/a'],
    ['//', ''],
    ['', ''],
  ])('%j becomes %j', (text, expected) => {
    expect(withoutTrailing(text, '/')).toBe(expected);
  });
});

it('a time is written in UTC, to the second', () => {
  expect(isoTime(Date.UTC(2026, 0, 31, 23, 59, 59, 999))).toBe('2026-01-31T23:59:59Z');
});
