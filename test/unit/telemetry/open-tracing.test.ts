import { expect, it } from 'vitest';

import { openTracing, wantedProtocol } from '../../../src/telemetry/open-tracing.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';

const AT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

it.each([
  ['nothing', {}, undefined],
  ['an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, undefined],
  ['an endpoint', AT, { protocol: 'http/protobuf' }],
  [
    'an endpoint of traces',
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://c/v1/traces' },
    { protocol: 'http/protobuf' },
  ],
  ['another protocol', { ...AT, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, { protocol: 'http/json' }],
  [
    'another protocol of traces',
    { ...AT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' },
    { protocol: 'http/json' },
  ],
  ['OTEL_SDK_DISABLED', { ...AT, OTEL_SDK_DISABLED: 'True' }, undefined],
  ['no exporter', { ...AT, OTEL_TRACES_EXPORTER: 'none' }, undefined],
  [
    'another exporter',
    { ...AT, OTEL_TRACES_EXPORTER: 'zipkin' },
    { problem: 'OTEL_TRACES_EXPORTER is zipkin: otlp is the only one here' },
  ],
  [
    'gRPC',
    { ...AT, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' },
    {
      problem:
        'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is grpc: http/protobuf and http/json are spoken here, at port 4318 of most collectors',
    },
  ],
  [
    'an endpoint that is none, and holds a password',
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'user:s3cr3t@collector:4318' },
    { problem: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no URL that begins with http:// or https://' },
  ],
])('understands an environment with %s', (_, environment, expected) => {
  expect(wantedProtocol(environment)).toEqual(expected);
});

it('says nothing if no traces are wanted, and one warning if they cannot be had', async () => {
  const { reporter, lines } = recordingReporter();
  const options = { version: '1.2.3', reporter };
  expect(await openTracing({}, options)).toBeUndefined();
  expect(lines).toEqual([]);
  expect(await openTracing({ ...AT, OTEL_TRACES_EXPORTER: 'zipkin' }, options)).toBeUndefined();
  expect(lines.map(({ level, message }) => [level, message])).toEqual([
    ['warn', 'no traces are sent: OTEL_TRACES_EXPORTER is zipkin: otlp is the only one here'],
  ]);
});
