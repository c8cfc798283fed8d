import { describe, expect, it } from 'vitest';

import { createLineLog } from '../../../src/telemetry/log-limits.ts';
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
