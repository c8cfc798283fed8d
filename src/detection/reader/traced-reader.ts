import type { Span, Tracer } from '../../telemetry/tracing.ts';
import { ImageSourceError, type RequestRecord } from '../image-source.ts';
import { type ImageReader, ReaderEnded, ReadStopped } from './image-reader.ts';

/** Reads images within spans, whose children are the requests to registries. */
export function tracedReader(reader: ImageReader, tracer: Tracer): ImageReader {
  return {
    ...reader,
    async read(request, context, options = {}) {
      const { more = false, alone = false } = options;
      const attributes = { 'libc_dns.image': request.reference, 'libc_dns.more': more, 'libc_dns.alone': alone };
      const span = tracer.start('read image', { parent: context.span, attributes });
      const onRequest = (one: RequestRecord): void => requestSpan(tracer, span, one);
      try {
        const inspection = await reader.read(request, { ...context, span, onRequest }, options);
        span.set({ 'libc_dns.digest': inspection.digest, 'libc_dns.resolver': inspection.verdict.resolver });
        return inspection;
      } catch (error) {
        noteEnd(span, error);
        throw error;
      } finally {
        span.end();
      }
    },
  };
}

function noteEnd(span: Span, error: unknown): void {
  // Nothing has failed: what the manifest's digest stands for is known.
  if (error instanceof ReadStopped) span.set({ 'libc_dns.known': true });
  else if (error instanceof ImageSourceError) span.fail(error.code, error.message);
  else if (error instanceof ReaderEnded) span.fail(`reader-${error.end}`);
  else span.fail(error instanceof Error ? error.name : 'unknown');
}

/** Milliseconds: no request goes on for longer. */
const LONGEST_MS = 3_600_000;

/** Makes a span of a request that has ended, with the names of OpenTelemetry's conventions for HTTP clients. */
function requestSpan(tracer: Tracer, parent: Span, request: RequestRecord): void {
  const { kind, origin, repository, reference, at, ms, bytes, status, error } = request;
  const { protocol, hostname, port } = URL.parse(origin) ?? { protocol: '', hostname: '', port: '' };
  const span = tracer.start(`registry ${kind}`, {
    parent,
    kind: 'client',
    at,
    attributes: {
      'url.scheme': protocol.slice(0, -1),
      'server.address': hostname,
      'server.port': Number(port) || (protocol === 'http:' ? 80 : 443),
      'http.response.status_code': status,
      'http.response.body.size': bytes,
      'libc_dns.repository': repository,
      'libc_dns.reference': reference,
    },
  });
  if (error !== undefined || (status ?? 0) >= 400) span.fail(error ?? String(status));
  span.end(at + Math.min(Math.max(ms, 0), LONGEST_MS));
}
