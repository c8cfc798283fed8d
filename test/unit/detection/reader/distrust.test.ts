import { describe, expect, it } from 'vitest';

import { createDistrust } from '../../../../src/detection/reader/distrust.ts';
import { recordingReporter } from '../../../support/recording-reporter.ts';
import { manualClock } from '../../../support/registry-harness.ts';

const MINUTE = 60_000;

function setUp() {
  const clock = manualClock();
  const recording = recordingReporter(clock.monotonic);
  return { clock, recording, distrust: createDistrust(clock, recording.reporter) };
}

describe('a namespace whose new images end reader processes', () => {
  it('is distrusted from the second on, for a minute, then for twice as long each time, to an hour', () => {
    const { clock, distrust } = setUp();
    const waits: number[] = [];
    for (let ends = 0; ends < 10; ends += 1) {
      distrust.blame('team');
      let minutes = 0;
      for (; distrust.has('team'); minutes += 1) clock.advance(MINUTE);
      waits.push(minutes);
    }
    expect(waits).toEqual([0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
  });

  it('is not distrusted for what others did', () => {
    const { distrust } = setUp();
    distrust.blame('team');
    distrust.blame('team');
    distrust.blame('other');
    expect([distrust.has('team'), distrust.has('other'), distrust.has('third')]).toEqual([true, false, false]);
  });

  it('begins anew after two hours without', () => {
    const { clock, distrust } = setUp();
    distrust.blame('team');
    clock.advance(120 * MINUTE - 1);
    distrust.blame('team');
    expect(distrust.has('team')).toBe(true);
    clock.advance(120 * MINUTE);
    distrust.blame('team');
    expect(distrust.has('team')).toBe(false);
  });

  it('is told in the log', () => {
    const { distrust, recording } = setUp();
    distrust.blame('team');
    expect(recording.lines).toEqual([]);
    distrust.blame('team');
    expect(recording.lines).toMatchObject([{ level: 'warn', fields: { namespace: 'team', ends: 2, seconds: 60 } }]);
  });

  it('is known: a person at a command line has none', () => {
    const { distrust } = setUp();
    for (let ends = 0; ends < 3; ends += 1) distrust.blame(undefined);
    expect(distrust.has(undefined)).toBe(false);
  });

  it('is forgotten once a thousand others have ended processes', () => {
    const { distrust } = setUp();
    distrust.blame('team');
    distrust.blame('team');
    for (let other = 0; other < 1000; other += 1) distrust.blame(`other-${other}`);
    expect(distrust.has('team')).toBe(false);
  });
});
