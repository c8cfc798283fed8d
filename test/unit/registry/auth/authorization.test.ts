import { array, assert, constantFrom, dictionary, oneof, property, string, stringMatching, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseChallenges } from '../../../../src/registry/auth/authorization.ts';

const read = (...headers: string[]) =>
  parseChallenges(headers).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('WWW-Authenticate', () => {
  it.each([
    [['Basic realm="registry"'], [['basic', { realm: 'registry' }]]],
    [
      [
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push"',
      ],
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:library/nginx:pull,push',
          },
        ],
      ],
    ],
    [
      ['Basic realm="a, b", Bearer realm="https://t/x" , service=s'],
      [
        ['basic', { realm: 'a, b' }],
        ['bearer', { realm: 'https://t/x', service: 's' }],
      ],
    ],
    [
      ['Negotiate, Basic realm=x', 'Bearer realm="https://t"'],
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'https://t' }],
      ],
    ],
    [['BEARER Realm = "https://t" ,Service="a\\"b\\\\c"'], [['bearer', { realm: 'https://t', service: 'a"b\\c' }]]],
    [['Bearer realm=https://t/token?x=1,service=s'], [['bearer', { realm: 'https://t/token?x=1', service: 's' }]]],
    [['Bearer realm="first",realm="second"'], [['bearer', { realm: 'first' }]]],
    [['Bearer realm=""'], [['bearer', { realm: '' }]]],
    [[' , ,Basic realm="x",,'], [['basic', { realm: 'x' }]]],
    [
      ['Bearer realm="unclosed'],
      [
        ['bearer', {}],
        ['realm', {}],
      ],
    ],
    [[''], []],
    [[], []],
    [['"rubbish"'], []],
  ])('%j', (headers, expected) => {
    expect(read(...headers)).toEqual(expected);
  });

  it('keeps at most 8 challenges and 16 parameters of each', () => {
    expect(read(Array.from({ length: 100 }, (_, i) => `S${i} a=1`).join(', '))).toHaveLength(8);
    const many = read(`Bearer ${Array.from({ length: 100 }, (_, i) => `p${i}=1`).join(',')}`);
    expect(Object.keys(many[0]?.[1] ?? {})).toHaveLength(16);
  });

  it('what is written according to the RFC is read back', () => {
    const token = stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,8}$/).map((text) => text.toLowerCase());
    const challenge = tuple(token, dictionary(token, string({ maxLength: 20 }), { minKeys: 1, maxKeys: 4 }));
    assert(
      property(array(challenge, { maxLength: 4 }), (challenges) => {
        const header = challenges
          .map(([scheme, parameters]) => {
            const pairs = Object.entries(parameters).map(
              ([name, value]) => `${name}="${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`,
            );
            return `${scheme} ${pairs.join(', ')}`;
          })
          .join(', ');
        expect(read(header)).toEqual(challenges.map(([scheme, parameters]) => [scheme, { ...parameters }]));
      }),
    );
  });

  it('no header makes it throw', () => {
    const piece = constantFrom('Bearer', ' ', ',', '=', '"', '\\', 'realm', 'a b', '\t', 'é');
    const text = oneof(
      string(),
      array(piece).map((parts) => parts.join('')),
    );
    assert(
      property(array(text), (headers) => {
        expect(parseChallenges(headers)).toBeInstanceOf(Array);
      }),
    );
  });

  // Time that grew with the square would be minutes.
  it.each([
    [','.repeat(8192)],
    ['"'.repeat(8192)],
    ['a '.repeat(4096)],
    ['a="\\'.repeat(2048)],
    [`a=${'\\"'.repeat(4096)}`],
  ])('hostile input is read to its end, a hundred times: %#', (header) => {
    for (let i = 0; i < 100; i += 1) {
      expect(parseChallenges(Array.from({ length: 8 }, () => header)).length).toBeLessThanOrEqual(8);
    }
  });
});
