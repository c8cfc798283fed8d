import { createReporter, silentReporter, type Trouble } from '../../../src/telemetry/reporter.ts';

/** Returns a failure whose log goes to `events`: `lost CODE` when it begins and when its code changes, `recovered` when it ends. */
export function recordingTrouble(events: string[]): Trouble {
  const log = {
    ...silentReporter.log,
    warn: (fields: object) => void events.push(`lost ${(fields as { code: string }).code}`),
    info: () => void events.push('recovered'),
  };
  return createReporter({ log, clock: { monotonic: () => 0 } }).trouble('it fails');
}
