/** What a span says. undefined: left out. Texts are cut at 256 characters. */
type Attributes = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** One operation of a trace. After `end` the other methods do nothing. */
export interface Span {
  /** 32 hexadecimal digits; undefined if the span is not sampled, and so sent to nobody. */
  readonly traceId: string | undefined;
  set(attributes: Attributes): void;
  /** Names a span of another trace that this one has to do with. */
  link(other: Span): void;
  /** Marks it as failed. `code`: from a closed set; `message` must hold no secret. */
  fail(code: string, message?: string): void;
  /** `at`: milliseconds since 1970; default now. */
  end(at?: number): void;
}

export interface SpanStart {
  /** The span that this one is part of, or the header `traceparent` of a caller (W3C Trace Context 3.2). Absent or invalid: a new trace. */
  readonly parent?: Span | string | undefined;
  /** Default `internal`. */
  readonly kind?: 'server' | 'client' | 'internal';
  /** Milliseconds since 1970; default now. */
  readonly at?: number;
  readonly attributes?: Attributes;
}

/** Starts spans. Never throws, and never waits: what the collector does costs its callers nothing. */
export interface Tracer {
  start(name: string, start?: SpanStart): Span;
}

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what is left, for two seconds at most. Never rejects. */
  readonly close: () => Promise<void>;
}

/** How spans are encoded (OTLP specification, OTEL_EXPORTER_OTLP_PROTOCOL). */
export type OtlpProtocol = 'http/protobuf' | 'http/json';
