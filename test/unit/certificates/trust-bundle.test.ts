import { beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { createAuthority, type SigningCa } from '../../../src/certificates/authority.ts';
import { type BundleKeeper, createBundleKeeper, type Registration } from '../../../src/certificates/trust-bundle.ts';
import { type Recording, recordingReporter } from '../../support/recording-reporter.ts';

const MINUTE = 60_000;
const make = (): Promise<SigningCa> => createAuthority({ now: Date.now(), lifetimeMs: 3_600_000 });

describe('the caBundle is kept right', () => {
  let x: SigningCa;
  let y: SigningCa;
  let foreign: readonly SigningCa[];
  let seen: Registration;
  let written: (readonly (readonly string[] | undefined)[])[];
  let report: Recording;
  let now: number;
  let answer: 'written' | 'conflict' | Error;
  let keeper: BundleKeeper;

  const contested = (): unknown[] =>
    report.of('cluster.registrationWritten').filter(([result]) => result === 'contested');

  const carrying = (...bundles: readonly (readonly string[])[]): void => {
    seen = { state: 'present', version: '1', bundles };
  };

  beforeAll(async () => {
    [x, y] = [await make(), await make()];
    foreign = await Promise.all(Array.from({ length: 12 }, make));
  });
  beforeEach(() => {
    [written, now, answer] = [[], 0, 'written'];
    report = recordingReporter();
    seen = { state: 'unseen' };
    keeper = createBundleKeeper({
      bundle: {
        get seen() {
          return seen;
        },
        onChange: () => {},
        replace: async (_version, bundles) => {
          if (answer instanceof Error) throw answer;
          written.push(bundles);
          return answer;
        },
        close: async () => {},
      },
      clock: { monotonic: () => now },
      random: () => 1,
      pruneAfterMs: 10 * MINUTE,
      reporter: report.reporter,
    });
  });

  it('nothing is written where it is not seen, not there, or right', async () => {
    await keeper.keep([x], true);
    seen = { state: 'absent' };
    await keeper.keep([x], true);
    carrying();
    await keeper.keep([x], true);
    carrying([x.cert], [y.cert, x.cert]);
    await keeper.keep([x, y], false).then(() => keeper.keep([x], true));
    expect(written).toEqual([[[x.cert, y.cert], undefined]]);
  });

  it('what is missing is added at once; what nobody knows stays for a while, and only where nothing is certain', async () => {
    carrying([foreign[0]?.cert ?? '', 'nonsense']);
    await keeper.keep([x], true);
    expect(written).toEqual([[[x.cert, foreign[0]?.cert]]]);
    carrying([x.cert, foreign[0]?.cert ?? '']);
    now = 10 * MINUTE - 1;
    await keeper.keep([x], true);
    now = 10 * MINUTE;
    await keeper.keep([x], false);
    expect(written).toHaveLength(1);
    await keeper.keep([x], true);
    expect(written.slice(1)).toEqual([[[x.cert]]]);
    const line = {
      level: 'info',
      message: 'the caBundle of our registration was written',
      fields: { ours: 1, others: 1 },
    };
    expect(report.lines).toEqual([line, line]);
    expect(report.of('cluster.registrationWritten')).toEqual([['written'], ['written']]);
  });

  it('a bundle stuffed with certificates is cut', async () => {
    carrying(foreign.map(({ cert }) => cert));
    await keeper.keep([x], false);
    expect(written[0]?.[0]).toHaveLength(1 + 8);
  });

  it('what keeps being overwritten is a quarrel, said once, and put right ever more rarely', async () => {
    carrying([]);
    const waits: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      await keeper.keep([x], true);
      waits.push(keeper.waitMs());
      await keeper.keep([x], true);
      now += keeper.waitMs();
    }
    expect(written).toHaveLength(15);
    expect(waits.slice(0, 3)).toEqual([100, 200, 400]);
    expect(waits.at(-1)).toBe(5 * MINUTE);
    expect(report.lines.filter(({ level }) => level === 'warn')).toEqual([
      {
        level: 'warn',
        message: expect.stringMatching(/keeps overwriting the caBundle/) as string,
        fields: { times: 5 },
      },
    ]);
    expect(contested()).toHaveLength(1);
  });

  it('changes of our own are none', async () => {
    for (const ca of foreign) {
      carrying([]);
      await keeper.keep([ca], true);
    }
    expect(written).toHaveLength(12);
    expect(contested()).toEqual([]);
    expect(report.messages('warn')).toEqual([]);
  });

  it('a conflict is left to whoever was faster', async () => {
    carrying([]);
    answer = 'conflict';
    await keeper.keep([x], true);
    expect([...report.lines, ...report.counted]).toEqual([]);
    expect(keeper.waitMs()).toBe(100);
  });

  it('a failure is logged once and counted each time, and waited after', async () => {
    carrying([]);
    answer = new Error('forbidden');
    await keeper.keep([x], true);
    expect(keeper.waitMs()).toBe(100);
    await keeper.keep([x], true);
    now = 100;
    await keeper.keep([x], true);
    expect(keeper.waitMs()).toBe(200);
    const what = 'the registration cannot be written';
    expect(report.lines).toEqual([{ level: 'warn', message: what, fields: { code: 'Error', error: 'forbidden' } }]);
    expect(report.counted).toEqual(Array.from({ length: 2 }, () => ['cluster.apiFailed', 'certificates', 'Error']));
    answer = 'written';
    now = 300;
    await keeper.keep([x], true);
    expect(report.messages('info')).toContain(`over: ${what}`);
  });
});
