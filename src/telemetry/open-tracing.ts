import { printable } from '../util/text.ts';
import type { Reporter } from './reporter.ts';
import type { OtlpProtocol, Tracing } from './tracing.ts';

interface TracingOptions {
  readonly version: string;
  readonly reporter: Reporter;
}

/**
 * Opens what sends traces if the environment names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`, docs/tracing.md); undefined if it does
 * not. Warns if the environment wants something that does not exist here, and goes on without traces. Loads OpenTelemetry only now.
 * Never rejects.
 */
export async function openTracing(
  environment: NodeJS.ProcessEnv,
  options: TracingOptions,
): Promise<Tracing | undefined> {
  const { log } = options.reporter;
  const wanted = wantedProtocol(environment);
  if (wanted === undefined) return undefined;
  if ('problem' in wanted) {
    log.warn(`no traces are sent: ${wanted.problem}`);
    return undefined;
  }
  try {
    const { openExport } = await import('./otlp.ts');
    const tracing = openExport(environment, { ...options, protocol: wanted.protocol });
    log.info({ protocol: wanted.protocol }, 'traces are sent');
    return tracing;
  } catch (error) {
    log.warn({ err: error }, 'no traces are sent: OpenTelemetry could not be started');
    return undefined;
  }
}

/** Returns the protocol to send traces with, or what is wrong with the environment; undefined if no traces are wanted. */
export function wantedProtocol(
  environment: NodeJS.ProcessEnv,
): { readonly protocol: OtlpProtocol } | { readonly problem: string } | undefined {
  const value = (name: string): string => (environment[name] ?? '').trim();
  /** The name that counts: what is said of traces alone wins. */
  const either = (what: string): string => {
    const own = `OTEL_EXPORTER_OTLP_TRACES_${what}`;
    return value(own) === '' ? `OTEL_EXPORTER_OTLP_${what}` : own;
  };
  const endpoint = either('ENDPOINT');
  const exporter = value('OTEL_TRACES_EXPORTER') || 'otlp';
  const isOff = value('OTEL_SDK_DISABLED').toLowerCase() === 'true' || exporter === 'none';
  if (value(endpoint) === '' || isOff) return undefined;
  if (exporter !== 'otlp')
    return { problem: `OTEL_TRACES_EXPORTER is ${printable(exporter, 50)}: otlp is the only one here` };
  // Its value is not shown: it may hold a password.
  if (!isHttpUrl(value(endpoint))) return { problem: `${endpoint} is no URL that begins with http:// or https://` };
  const protocol = value(either('PROTOCOL')) || 'http/protobuf';
  if (protocol === 'http/protobuf' || protocol === 'http/json') return { protocol };
  const told = `${either('PROTOCOL')} is ${printable(protocol, 50)}`;
  return { problem: `${told}: http/protobuf and http/json are spoken here, at port 4318 of most collectors` };
}

function isHttpUrl(text: string): boolean {
  const protocol = URL.parse(text)?.protocol;
  return protocol === 'http:' || protocol === 'https:';
}
