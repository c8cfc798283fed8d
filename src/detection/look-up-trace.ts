import type { Span, Tracer } from '../telemetry/tracing.ts';
import type { Flight } from './flights.ts';
import type { LookupResult, LookupTask } from './look-up.ts';

/** The span of one look-up. It is a child of the review that began it; other reviews that wait for it link to it. */
interface LookUpTrace {
  /** Notes that it waits no longer for a slot. Returns its span. */
  begin(): Span;
  /** Notes that the request waits for this flight, which it has begun or joined. */
  joined(flight: Flight<LookupResult>): void;
}

/** Returns a function that traces the look-up of a task; it returns undefined if nobody asks for traces. */
export function createLookUpTraces(tracer: Tracer | undefined): (task: LookupTask) => LookUpTrace | undefined {
  if (tracer === undefined) return () => undefined;
  const spans = new WeakMap<Flight<LookupResult>, Span>();
  return ({ request }) => {
    const asked = performance.now();
    let own: Span | undefined;
    const start = (): Span => {
      const attributes = { 'libc_dns.image': request.reference, 'k8s.namespace.name': request.tenant };
      return (own ??= tracer.start('look up image', { parent: request.span, attributes }));
    };
    return {
      begin() {
        const span = start();
        span.set({ 'libc_dns.queued_ms': Math.round(performance.now() - asked) });
        return span;
      },
      joined(flight) {
        const known = spans.get(flight);
        if (known !== undefined) {
          request.span?.link(known);
          return;
        }
        const span = start();
        spans.set(flight, span);
        void flight.result.then((result) => end(span, result, flight));
      },
    };
  };
}

function end(span: Span, result: LookupResult, { meter }: Flight<LookupResult>): void {
  span.set({ 'libc_dns.requests': meter.requests, 'libc_dns.bytes': meter.bytes });
  if ('failure' in result) span.fail(result.failure.code, result.failure.message);
  else span.set({ 'libc_dns.resolver': result.inspection.verdict.resolver });
  span.end();
}
