import {
  type Context,
  diag,
  DiagLogLevel,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer as OtelTracer,
} from '@opentelemetry/api';
import { type ExportResult, ExportResultCode, parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type BatchSpanProcessorOptions,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';

import { beforeAbort } from '../util/abort.ts';
import { printable } from '../util/text.ts';
import type { Reporter } from './reporter.ts';
import type { OtlpProtocol, Span, SpanStart, Tracer, Tracing } from './tracing.ts';

interface ExportOptions {
  readonly version: string;
  readonly protocol: OtlpProtocol;
  readonly reporter: Reporter;
}

/** Characters of a text in a span, and attributes and links of a span: Pods and registries choose the texts. */
const LIMITS = { attributeValueLengthLimit: 256, attributeCountLimit: 32, linkCountLimit: 32 };

/** Most spans that wait, and most in one message: about 4 MB in all. Defaults of the specification, which OTEL_BSP_* lower or raise. */
const QUEUE = { waiting: 2048, batch: 512, delayMs: 5000, exportMs: 30_000 };

/** The queue holds no more, whatever the environment says. */
const MOST_WAITING = 16_384;

/** Messages on their way at once: a further batch waits in the queue. */
const CONCURRENCY = 2;

const CLOSE_MS = 2000;

/** Milliseconds after `close` within which a process with nothing else to do ends. */
const LINGER_MS = 250;

const quiet = (): void => {};

/** Opens the export of traces that the environment describes. Throws if the library refuses what it says. */
export function openExport(environment: NodeJS.ProcessEnv, { version, protocol, reporter }: ExportOptions): Tracing {
  const warn = reporter.warnings();
  // Of the library's own texts only warnings, about variables that it cannot use, and spans that are dropped.
  const tell = (message: string): void => warn(`traces: ${printable(message, 300)}`);
  // The library has one logger for the process.
  diag.disable();
  diag.setLogger({ error: quiet, warn: tell, info: quiet, debug: quiet, verbose: quiet }, DiagLogLevel.WARN);
  const Exporter = protocol === 'http/json' ? JsonExporter : ProtobufExporter;
  const exporter = reported(new Exporter({ concurrencyLimit: CONCURRENCY }), reporter);
  const resource = resourceFromAttributes({ 'service.name': 'libc-dns-webhook', 'service.version': version });
  const provider = new TracerProvider({
    resource: resource.merge(detectResources({ detectors: [envDetector] })),
    sampler: samplerOf(environment, tell),
    spanLimits: LIMITS,
    spanProcessors: [new BatchSpanProcessor({ exporter, ...queueOf(environment, tell) })],
  });
  return {
    tracer: tracerOf(provider.getTracer('libc-dns-webhook', version)),
    async close() {
      const closed = await beforeAbort(
        provider.shutdown().then(
          () => true,
          () => true,
        ),
        AbortSignal.timeout(CLOSE_MS),
      );
      if (closed === true) return;
      tell('the last ones were not sent: the collector does not answer');
      // A message on its way would keep the process until the collector's time is over.
      setTimeout(() => process.exit(), LINGER_MS).unref();
    },
  };
}

/** Reports when traces cannot be sent, and when they can again. */
function reported(exporter: SpanExporter, reporter: Reporter): SpanExporter {
  const trouble = reporter.trouble('traces cannot be sent to the collector');
  const note = ({ code, error }: ExportResult): void => {
    if (code === ExportResultCode.SUCCESS) trouble.recovered();
    else trouble.lost({ code: codeOf(error), message: printable(error?.message || 'no reason given', 300) });
  };
  return {
    export: (spans: ReadableSpan[], done) =>
      exporter.export(spans, (result) => {
        note(result);
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => await exporter.forceFlush?.(),
  };
}

/** Returns the system's code of an error (`ECONNREFUSED`), or the HTTP status. */
function codeOf(error: Error | undefined): string {
  const code: unknown = error !== undefined && 'code' in error ? error.code : undefined;
  return typeof code === 'string' || typeof code === 'number' ? printable(`${code}`, 50) : 'export';
}

type Tell = (message: string) => void;

/** Returns the number in a variable, between `least` and `most`; `otherwise` if it has none, which is told if it has something else. */
function numberOf(
  environment: NodeJS.ProcessEnv,
  name: string,
  { otherwise, least, most }: { readonly otherwise: number; readonly least: number; readonly most: number },
  tell: Tell,
): number {
  const text = (environment[name] ?? '').trim();
  if (text === '') return otherwise;
  const given = Number(text);
  if (given >= least && given <= most) return given;
  tell(`${name} is no number from ${least} to ${most}: ${otherwise} counts`);
  return otherwise;
}

function queueOf(environment: NodeJS.ProcessEnv, tell: Tell): Omit<BatchSpanProcessorOptions, 'exporter'> {
  const read = (name: string, otherwise: number, most: number): number =>
    numberOf(environment, `OTEL_BSP_${name}`, { otherwise, least: 1, most }, tell);
  return {
    maxQueueSize: read('MAX_QUEUE_SIZE', QUEUE.waiting, MOST_WAITING),
    maxExportBatchSize: read('MAX_EXPORT_BATCH_SIZE', QUEUE.batch, MOST_WAITING),
    scheduledDelayMillis: read('SCHEDULE_DELAY', QUEUE.delayMs, 3_600_000),
    exportTimeoutMillis: read('EXPORT_TIMEOUT', QUEUE.exportMs, 3_600_000),
  };
}

/** Returns the sampler that OTEL_TRACES_SAMPLER names (OpenTelemetry specification, "General SDK configuration"). */
function samplerOf(environment: NodeJS.ProcessEnv, tell: Tell): Sampler {
  const name = (environment['OTEL_TRACES_SAMPLER'] ?? '').trim() || 'parentbased_always_on';
  const ratio = (): Sampler =>
    new TraceIdRatioBasedSampler(
      numberOf(environment, 'OTEL_TRACES_SAMPLER_ARG', { otherwise: 1, least: 0, most: 1 }, tell),
    );
  const roots: Readonly<Record<string, () => Sampler>> = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: ratio,
  };
  const kind = name.replace(/^parentbased_/u, '');
  const root = Object.hasOwn(roots, kind) ? roots[kind] : undefined;
  if (root === undefined) {
    tell(`OTEL_TRACES_SAMPLER names no sampler of ours (${printable(name, 50)}): parentbased_always_on counts`);
    return new ParentBasedSampler({ root: new AlwaysOnSampler() });
  }
  return kind === name ? root() : new ParentBasedSampler({ root: root() });
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL } as const;

/** Keeps the library's span, so that others can become its children. */
interface OwnSpan extends Span {
  readonly otel: OtelSpan;
}

function contextOf(parent: SpanStart['parent']): Context {
  if (parent === undefined) return ROOT_CONTEXT;
  if (typeof parent !== 'string') return trace.setSpan(ROOT_CONTEXT, (parent as OwnSpan).otel);
  const remote = parseTraceParent(parent);
  return remote === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true });
}

function tracerOf(otel: OtelTracer): Tracer {
  return {
    start(name, { parent, kind = 'internal', at, attributes = {} } = {}) {
      const options = {
        kind: KINDS[kind],
        attributes,
        ...(at !== undefined && { startTime: at }),
      };
      return spanOf(otel.startSpan(name, options, contextOf(parent)));
    },
  };
}

function spanOf(otel: OtelSpan): OwnSpan {
  return {
    otel,
    traceId: otel.isRecording() ? otel.spanContext().traceId : undefined,
    set: (attributes) => void otel.setAttributes(attributes),
    link(other) {
      if (otel.isRecording()) otel.addLink({ context: (other as OwnSpan).otel.spanContext() });
    },
    fail(code, message) {
      otel.setAttribute('error.type', code);
      otel.setStatus({
        code: SpanStatusCode.ERROR,
        ...(message !== undefined && { message: printable(message, 256) }),
      });
    },
    end: (at) => otel.end(at),
  };
}
