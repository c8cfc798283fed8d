import { describe, expect, it } from 'vitest';

import { createFailureLog, type FailureLog } from '../../../src/telemetry/failure-log.ts';
import { createLog } from '../../../src/telemetry/log.ts';

function setUp(): { failures: FailureLog; lines: () => string[]; pass: (ms: number) => void } {
  const written: string[] = [];
  let time = 0;
  const log = createLog({ level: 'info', format: 'json', destination: { write: (line) => void written.push(line) } });
  const failures = createFailureLog(log, () => time);
  const lines = (): string[] => written.map((line) => (JSON.parse(line) as { msg: string }).msg);
  return { failures, lines, pass: (ms) => void (time += ms) };
}

const refused = { code: 'unreachable', message: 'connect ECONNREFUSED' };
const what = 'the namespaces cannot be watched';

describe('a failure that repeats', () => {
  it('is said once, not at every attempt', () => {
    const { failures, lines } = setUp();
    for (let tries = 0; tries < 100; tries += 1) failures.failed(what, refused);
    expect(lines()).toEqual([what]);
  });

  it('is said again when it becomes another, when it lasts, and when it is over', () => {
    const { failures, lines, pass } = setUp();
    failures.failed(what, refused);
    failures.failed(what, { code: 'forbidden', message: 'no' });
    pass(10 * 60_000);
    failures.failed(what, { code: 'forbidden', message: 'no' });
    failures.worked(what);
    failures.worked(what);
    expect(lines()).toEqual([what, what, what, `over: ${what}`]);
  });

  it('is kept apart from others', () => {
    const { failures, lines } = setUp();
    failures.failed(what, refused);
    failures.failed('the Secret cannot be read', refused);
    failures.worked('something that never failed');
    expect(lines()).toHaveLength(2);
  });
});
