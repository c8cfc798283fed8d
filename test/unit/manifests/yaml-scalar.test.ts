import { describe, expect, it } from 'vitest';

import { keyText, plainScalar, taggedScalar } from '../../../src/manifests/yaml-scalar.ts';

describe('plainScalar: as sigs.k8s.io/yaml', () => {
  it.each([
    ['words of YAML 1.1', ['y', 'Yes', 'ON', 'true'], true],
    ['words of YAML 1.1', ['n', 'No', 'OFF', 'False'], false],
    ['null', ['', '~', 'null', 'Null', 'NULL'], null],
    ['octal, old and new', ['0400', '0o400', '0O400', '+0400', '0_400'], 256],
    ['hexadecimal, binary, underscores', ['0x3e8', '0b1111101000', '1_000', '1_0_00_', '+1000', '1e3', '1000.'], 1000],
    ['a digit that is not octal', ['08', '0_8', '8.0'], 8],
    ['a number beyond 64 bits', ['99999999999999999999'], 1e20],
    ['a number beyond 63 bits', ['18446744073709551615'], 18_446_744_073_709_552_000],
    ['a number that a float does not hold', ['9007199254740993'], 9_007_199_254_740_993n],
    ['no negative zero', ['-0', '-0.0'], 0],
    ['fractions', ['.5', '.5_0', '0.5', '5e-1', '+.5'], 0.5],
  ])('%s', (_name, texts, value) => {
    expect(texts.map((text) => plainScalar(text))).toEqual(texts.map(() => value));
  });

  it.each([
    '1:30',
    '190:20:30',
    '2024-01-01',
    '1e400',
    '0x',
    '0b2',
    '0o8',
    '._5',
    '.5_',
    '-_',
    '1.2.3',
    'yEs',
    'nULL',
    '_1',
    '<<',
    '1,000',
  ])('%s stays a string', (text) => {
    expect(plainScalar(text)).toBe(text);
  });

  it.each(['.inf', '-.Inf', '.NaN'])('%s has no JSON', (text) => {
    expect(() => plainScalar(text)).toThrow(`${text} is no number that JSON can hold`);
  });
});

describe('taggedScalar', () => {
  it.each([
    ['str', '0400', '0400'],
    ['timestamp', '2024-01-01', '2024-01-01'],
    ['int', '0o17', 15],
    ['float', '3', 3],
    ['bool', 'yes', true],
    ['null', '', null],
    ['binary', 'aGVs\nbG8=', 'hello'],
    ['unheard-of', '12', '12'],
  ])('!!%s %j is %j', (tag, text, value) => {
    expect(taggedScalar(tag, text)).toBe(value);
  });

  it.each([
    ['int', '08', '"08" is not of the type that its tag !!int says'],
    ['int', '3.5', '"3.5" is not of the type that its tag !!int says'],
    ['bool', '1', '"1" is not of the type that its tag !!bool says'],
    ['null', 'foo', '"foo" is not of the type that its tag !!null says'],
    ['binary', 'a', '!!binary is no base64'],
  ])('!!%s %j is refused', (tag, text, message) => {
    expect(() => taggedScalar(tag, text)).toThrow(message);
  });
});

describe('keyText: keys of JSON are strings', () => {
  it.each([
    ['a', 'a'],
    [true, 'true'],
    [16, '16'],
    [1.1, '1.1'],
    [0.000_01, '1e-05'],
    [9_007_199_254_740_993n, '9007199254740993'],
    [null, undefined],
  ])('%s', (value, text) => {
    expect(keyText(value)).toBe(text);
  });
});
