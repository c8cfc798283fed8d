import { beforeEach, describe, expect, it } from 'vitest';

import { createLimitedLines, type LimitedLines } from '../../../src/telemetry/log-limits.ts';
import { manualClock } from '../../support/registry-harness.ts';

let lines: [string, object | undefined][];
let clock: ReturnType<typeof manualClock>;
let say: LimitedLines;

beforeEach(() => {
  lines = [];
  clock = manualClock();
  say = createLimitedLines((message, fields) => lines.push([message, fields]), clock);
});

describe('limited lines', () => {
  it('say the same thing every ten minutes at most', () => {
    say('one', { code: 'x' });
    say('one');
    say('two');
    clock.advance(599_999);
    say('one');
    clock.advance(1);
    say('one');
    expect(lines.map(([message]) => message)).toEqual(['one', 'two', 'one']);
    expect(lines[0]?.[1]).toEqual({ code: 'x' });
  });

  it('say thirty things in a minute, and how many they left out in the next', () => {
    for (let index = 0; index < 5000; index += 1) say(`n${index}`);
    expect(lines).toHaveLength(30);
    clock.advance(60_000);
    say('next');
    expect(lines.slice(30).map(([message]) => message)).toEqual([
      '4970 more warnings like these were left out',
      'next',
    ]);
    say('n40');
    expect(lines.at(-1)?.[0]).toBe('n40');
  });
});
