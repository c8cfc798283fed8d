import { beforeEach, describe, expect, it } from 'vitest';

import { createLimitedLines, createLineLog, type LimitedLines } from '../../../src/telemetry/log-limits.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { manualClock } from '../../support/registry-harness.ts';

function budgeted(level = 'info') {
  const clock = manualClock();
  const lines: { level: string; msg: string; lines?: number }[] = [];
  let leftOut = 0;
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = createLineLog(createLog({ level, format: 'json', destination }), {
    perSecond: 10,
    burst: 50,
    clock,
    onLeftOut: () => void (leftOut += 1),
  });
  return { clock, lines, log, leftOut: () => leftOut };
}

describe('lines that callers cause', () => {
  it('are all written while they come as a cluster makes them', () => {
    const { log, lines, clock, leftOut } = budgeted();
    for (let index = 0; index < 200; index += 1) {
      log.line('info')?.info({ index }, 'decided');
      clock.advance(100);
    }
    expect(lines).toHaveLength(200);
    expect(leftOut()).toBe(0);
  });

  it('are cut to the budget in a flood; what was left out is said once a minute, and counted', () => {
    const { log, lines, clock, leftOut } = budgeted();
    for (let second = 0; second < 120; second += 1) {
      for (let index = 0; index < 1000; index += 1) log.line('info')?.info({ index }, 'decided');
      clock.advance(1000);
    }
    const told = lines.filter(({ lines: count }) => count !== undefined);
    expect(lines.length - told.length).toBe(50 + 119 * 10);
    expect(told.map(({ level }) => level)).toEqual(['warn', 'warn']);
    expect(leftOut()).toBe(120_000 - 1240);
  });

  it('cost nothing where their level is not logged', () => {
    const { log, lines } = budgeted();
    for (let index = 0; index < 1000; index += 1) log.line('debug')?.debug({ index }, 'off');
    log.line('info')?.info('decided');
    expect(lines.map(({ msg }) => msg)).toEqual(['decided']);
  });
});

describe('limited lines', () => {
  let lines: [string, object | undefined][];
  let clock: ReturnType<typeof manualClock>;
  let say: LimitedLines;

  beforeEach(() => {
    lines = [];
    clock = manualClock();
    say = createLimitedLines((message, fields) => lines.push([message, fields]), clock);
  });

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
