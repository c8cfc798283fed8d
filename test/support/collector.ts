import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

/** A span as OTLP/JSON has it (opentelemetry-proto trace.proto), with its attributes as plain values. */
export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 2: error. */
  readonly status: { readonly code?: number; readonly message?: string };
  /** Milliseconds. */
  readonly ms: number;
  readonly resource: Readonly<Record<string, unknown>>;
}

interface Message {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Collector {
  readonly endpoint: string;
  readonly messages: readonly Message[];
  /** Returns the spans of all messages in JSON, of one name or of any. */
  readonly spans: (name?: string) => ReceivedSpan[];
  readonly close: () => Promise<void>;
}

/** How a collector answers a message. Default: it takes it. */
type Answer = (response: ServerResponse) => void;

const take: Answer = (response) => void response.setHeader('content-type', 'application/json').end('{}');

interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values: readonly AnyValue[] };
}

interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

function plain({ stringValue, boolValue, intValue, doubleValue, arrayValue }: AnyValue): unknown {
  if (arrayValue !== undefined) return arrayValue.values.map(plain);
  return stringValue ?? boolValue ?? (intValue === undefined ? doubleValue : Number(intValue));
}

const attributesOf = (all: readonly KeyValue[] = []): Record<string, unknown> =>
  Object.fromEntries(all.map(({ key, value }) => [key, plain(value)]));

interface WireSpan extends Omit<ReceivedSpan, 'attributes' | 'ms' | 'resource'> {
  readonly attributes?: readonly KeyValue[];
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
}

interface Traces {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

/** Returns the spans of one message in OTLP/JSON. */
export const spansIn = (body: Buffer | string): ReceivedSpan[] =>
  (JSON.parse(body.toString()) as Traces).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(({ startTimeUnixNano, endTimeUnixNano, ...span }) => ({
        ...span,
        links: span.links ?? [],
        attributes: attributesOf(span.attributes),
        ms: Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6,
        resource: attributesOf(resource.attributes),
      })),
    ),
  );

/** Starts an OTLP/HTTP receiver on loopback. */
export async function startCollector(answer: Answer = take): Promise<Collector> {
  const messages: Message[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { url = '', headers } = request;
      const raw = Buffer.concat(chunks);
      messages.push({ url, headers, body: headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    spans: (name) => {
      const json = messages.filter(({ headers }) => headers['content-type'] === 'application/json');
      return json.flatMap(({ body }) => spansIn(body)).filter((span) => name === undefined || span.name === name);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
