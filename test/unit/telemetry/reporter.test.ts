import { describe, expect, it } from 'vitest';

import { createLog } from '../../../src/telemetry/log.ts';
import { createReporter, silentReporter } from '../../../src/telemetry/reporter.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';

function setUp() {
  let time = 0;
  return { ...recordingReporter(() => time), pass: (ms: number) => void (time += ms) };
}

const refused = { code: 'unreachable', message: 'connect ECONNREFUSED' };
const what = 'the namespaces cannot be watched';

describe('a failure that repeats', () => {
  it('is said once, not at every attempt', () => {
    const { reporter, lines } = setUp();
    const { lost } = reporter.trouble(what);
    for (let tries = 0; tries < 100; tries += 1) lost(refused, { name: 'ca' });
    expect(lines).toEqual([
      { level: 'warn', message: what, fields: { code: 'unreachable', error: 'connect ECONNREFUSED', name: 'ca' } },
    ]);
  });

  it('is said again when it becomes another, when it lasts, and when it is over', () => {
    const { reporter, messages, pass } = setUp();
    const { lost, recovered } = reporter.trouble(what);
    lost(refused);
    lost({ code: 'forbidden', message: 'no' });
    pass(10 * 60_000 - 1);
    lost({ code: 'forbidden', message: 'no' });
    expect(messages()).toEqual([what, what]);
    pass(1);
    lost({ code: 'forbidden', message: 'no' });
    recovered();
    recovered();
    expect(messages('warn')).toEqual([what, what, what]);
    expect(messages('info')).toEqual([`over: ${what}`]);
  });

  it('that goes to and fro between two codes is said once for each', () => {
    const { reporter, messages } = setUp();
    const { lost, recovered } = reporter.trouble(what);
    for (let tries = 0; tries < 50; tries += 1) {
      lost(refused);
      lost({ code: 'timeout', message: 'no answer in time' });
    }
    expect(messages()).toEqual([what, what]);
    recovered();
    lost(refused);
    expect(messages('warn')).toHaveLength(3);
  });

  it('is kept apart from others', () => {
    const { reporter, messages } = setUp();
    reporter.trouble(what).lost(refused);
    reporter.trouble('the Secret cannot be read').lost(refused);
    reporter.trouble('something that never failed').recovered();
    expect(messages()).toEqual([what, 'the Secret cannot be read']);
  });

  it('is counted at every attempt, where it has a use', () => {
    const { reporter, messages, counted } = setUp();
    const { lost, recovered } = reporter.trouble(what, 'namespaces');
    for (const code of ['unreachable', 'unreachable', 'forbidden']) lost({ code, message: 'no' });
    recovered();
    reporter.trouble('the Secret cannot be read').lost(refused);
    expect(counted).toEqual([
      ['cluster.apiFailed', 'namespaces', 'unreachable'],
      ['cluster.apiFailed', 'namespaces', 'unreachable'],
      ['cluster.apiFailed', 'namespaces', 'forbidden'],
    ]);
    expect(messages('warn')).toEqual([what, what, 'the Secret cannot be read']);
  });
});

describe('a warning in words of others', () => {
  it('is said once in ten minutes, and thirty times a minute with all others', () => {
    const { reporter, lines, messages, pass } = setUp();
    const warn = reporter.warnings();
    for (let tries = 0; tries < 100; tries += 1) warn('an ImageLibc is not used', { name: 'x' });
    expect(lines).toEqual([{ level: 'warn', message: 'an ImageLibc is not used', fields: { name: 'x' } }]);
    for (let index = 0; index < 100; index += 1) warn(`secret ${index}`);
    expect(lines).toHaveLength(30);
    pass(10 * 60_000);
    warn('an ImageLibc is not used');
    expect(messages('warn').slice(30)).toEqual([
      '71 more warnings like these were left out',
      'an ImageLibc is not used',
    ]);
  });

  it('of one feature leaves room for those of others', () => {
    const { reporter, messages } = setUp();
    const [pullSecrets, store] = [reporter.warnings(), reporter.warnings()];
    for (let index = 0; index < 100; index += 1) pullSecrets(`secret ${index}`);
    store('an ImageLibc is not used');
    expect(messages().at(-1)).toBe('an ImageLibc is not used');
  });

  it('leaves failures and other lines unlimited', () => {
    const { reporter, messages } = setUp();
    const warn = reporter.warnings();
    for (let index = 0; index < 100; index += 1) warn(`secret ${index}`);
    reporter.log.warn('directly');
    reporter.trouble(what).lost(refused);
    expect(messages().slice(30)).toEqual(['directly', what]);
  });
});

describe('a reporter without metrics', () => {
  it('logs all the same, and counts nothing', () => {
    const written: string[] = [];
    const destination = { write: (line: string) => void written.push(line) };
    const log = createLog({ level: 'info', format: 'json', destination });
    const reporter = createReporter({ log, clock: { monotonic: () => 0 } });
    reporter.trouble(what, 'namespaces').lost(refused);
    reporter.metrics.certificate(new Date());
    reporter.metrics.cluster.informer('namespaces', () => ({ synced: true, items: 1, contactAt: undefined }));
    expect(written.map((line) => JSON.parse(line) as object)).toMatchObject([{ level: 'warn', msg: what }]);
  });

  it('that is silent takes everything that a reporter takes', () => {
    const { log, metrics, warnings, trouble } = silentReporter;
    const { lost, recovered } = trouble(what, 'namespaces');
    expect(() => {
      lost(refused, { name: 'ca' });
      recovered();
      warnings()('secret', { name: 'x' });
      log.error({ err: new Error('no') }, 'failed');
      metrics.cluster.stored('verdict', 'written');
      metrics.dnsOverTcp(true);
    }).not.toThrow();
  });
});
