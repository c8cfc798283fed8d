import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';

import { openExport } from '../../../src/telemetry/otlp.ts';
import type { Tracing } from '../../../src/telemetry/tracing.ts';
import { type Collector, startCollector } from '../../support/collector.ts';
import { recordingReporter, type Recording } from '../../support/recording-reporter.ts';

let collector: Collector;

beforeEach(async () => {
  collector = await startCollector();
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.endpoint);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await collector.close();
});

function open(environment: NodeJS.ProcessEnv = {}): Tracing & Pick<Recording, 'messages'> {
  const { reporter, messages } = recordingReporter();
  const tracing = openExport(environment, { version: '1.2.3', protocol: 'http/json', reporter });
  onTestFinished(() => tracing.close());
  return { ...tracing, messages };
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const parent = (flags: string): string => `00-${TRACE}-00f067aa0ba902b7-${flags}`;

it.each([
  // Sampler, its argument; whether a new trace is sampled, one that the caller samples, one that it does not.
  [undefined, undefined, true, true, false],
  ['parentbased_always_on', undefined, true, true, false],
  ['parentbased_always_off', undefined, false, true, false],
  ['parentbased_traceidratio', '0', false, true, false],
  ['always_on', undefined, true, true, true],
  ['always_off', undefined, false, false, false],
  ['traceidratio', '1', true, true, true],
  ['traceidratio', '0', false, false, false],
])('samples as OTEL_TRACES_SAMPLER=%s (%s) says', (sampler, argument, fresh, wanted, unwanted) => {
  const { tracer, messages } = open({
    ...(sampler !== undefined && { OTEL_TRACES_SAMPLER: sampler }),
    ...(argument !== undefined && { OTEL_TRACES_SAMPLER_ARG: argument }),
  });
  const isSampled = (of?: string): boolean => tracer.start('a', { parent: of }).traceId !== undefined;
  expect([isSampled(), isSampled(parent('01')), isSampled(parent('00'))]).toEqual([fresh, wanted, unwanted]);
  expect(messages()).toEqual([]);
});

it.each([
  [
    'OTEL_TRACES_SAMPLER',
    'jaeger_remote',
    'OTEL_TRACES_SAMPLER names no sampler of ours (jaeger_remote): parentbased_always_on counts',
  ],
  ['OTEL_BSP_MAX_QUEUE_SIZE', '1000000000', 'OTEL_BSP_MAX_QUEUE_SIZE is no number from 1 to 16384: 2048 counts'],
  ['OTEL_BSP_SCHEDULE_DELAY', 'soon', 'OTEL_BSP_SCHEDULE_DELAY is no number from 1 to 3600000: 5000 counts'],
])('warns of %s=%s, and goes on', (name, value, message) => {
  const { tracer, messages } = open({ [name]: value });
  expect(messages('warn')).toEqual([`traces: ${message}`]);
  expect(tracer.start('a').traceId).toBeDefined();
});

it.each(['nonsense', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`])(
  'begins a trace if the caller names none (%s)',
  (given) => {
    expect(open().tracer.start('a', { parent: given }).traceId).toMatch(/^(?!0{32})[\da-f]{32}$/);
  },
);

it('bounds what a span holds, and escapes what a terminal would obey', async () => {
  const { tracer, close } = open();
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`a${index}`, 'x'.repeat(10_000)]));
  const span = tracer.start('a', { attributes: { left: undefined, ...many } });
  for (let index = 0; index < 100; index += 1) span.link(tracer.start('b'));
  span.fail('code', `\u001B[31m${'y'.repeat(10_000)}`);
  span.end();
  await close();
  const [received] = collector.spans();
  expect(Object.keys(received?.attributes ?? {})).toHaveLength(32);
  expect(received?.attributes['a0']).toHaveLength(256);
  expect(received?.attributes).not.toHaveProperty('left');
  expect(received?.links).toHaveLength(32);
  expect(received?.status.message?.length).toBeLessThanOrEqual(270);
  expect(received?.status.message).not.toContain('\u001B');
});

it('drops spans while the queue is full, and says so', async () => {
  const hanging = await startCollector(() => {});
  onTestFinished(hanging.close);
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', hanging.endpoint);
  vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '200');
  const { tracer, messages } = open({ OTEL_BSP_MAX_QUEUE_SIZE: '100', OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '50' });
  const started = performance.now();
  for (let index = 0; index < 5000; index += 1) tracer.start(`span ${index}`).end();
  expect(performance.now() - started).toBeLessThan(2000);
  await expect
    .poll(() => {
      tracer.start('later').end();
      return messages('warn').join('\n');
    })
    .toMatch(/traces: Dropped 4\d\d\d spans/);
  const sent = hanging.spans().filter(({ name }) => name.startsWith('span '));
  expect(sent.length).toBeLessThanOrEqual(150);
});

it('says once that the collector fails, and that it is over', async () => {
  let status = 500;
  const failing = await startCollector((response) => void response.writeHead(status).end());
  onTestFinished(failing.close);
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', failing.endpoint);
  const { tracer, messages } = open({ OTEL_BSP_SCHEDULE_DELAY: '10' });
  const send = (): void => tracer.start('a').end();
  send();
  await expect.poll(() => messages()).toEqual(['traces cannot be sent to the collector']);
  send();
  await expect.poll(() => failing.messages.length).toBe(2);
  status = 200;
  send();
  await expect
    .poll(() => messages())
    .toEqual(['traces cannot be sent to the collector', 'over: traces cannot be sent to the collector']);
});
