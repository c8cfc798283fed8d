import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { missingIn, otelCollectorFolder } from '../kubernetes/programs.ts';
import { type ReceivedSpan, spansIn } from './collector.ts';
import { freePort } from './debian-registry.ts';

const PROGRAM = 'otel-collector';

/** Whether OpenTelemetry's collector is built. */
export const hasOtelCollector = missingIn(otelCollectorFolder, [PROGRAM]).length === 0;
if (!hasOtelCollector) {
  process.stderr.write(
    '\n!! NO TRACES WERE SENT TO A REAL COLLECTOR: it is not built: npm run kubernetes -- --otel-collector\n\n',
  );
}

export interface OtelCollector {
  readonly endpoint: string;
  readonly port: number;
  /** Returns the spans that it printed, of one name or of any. */
  readonly spans: (name?: string) => ReceivedSpan[];
  readonly signal: (name: NodeJS.Signals) => void;
  readonly close: () => Promise<void>;
}

interface OtelCollectorOptions {
  readonly port?: number;
  /** A port for OTLP over gRPC besides, as API servers send it. */
  readonly grpcPort?: number;
  /** Paths of PEM files; then it takes callers with a client certificate alone. */
  readonly tls?: Readonly<Record<'cert_file' | 'key_file' | 'client_ca_file', string>>;
  /** gRPC codes to refuse the first messages with: 8 for 429 and 14 for 503 with `Retry-After: 1`, 3 for 400. */
  readonly refuse?: readonly number[];
}

/** Runs OpenTelemetry's own collector on loopback, which prints the traces that it receives. */
export async function startOtelCollector({
  port,
  grpcPort,
  tls,
  refuse = [],
}: OtelCollectorOptions = {}): Promise<OtelCollector> {
  const own = port ?? (await freePort());
  const at = (of: number) => ({ endpoint: `127.0.0.1:${of}` });
  const config = {
    receivers: {
      otlp: {
        protocols: { http: { ...at(own), ...(tls && { tls }) }, ...(grpcPort !== undefined && { grpc: at(grpcPort) }) },
      },
    },
    exporters: { print: { refuse } },
    service: { pipelines: { traces: { receivers: ['otlp'], exporters: ['print'] } } },
  };
  const child = spawn(join(otelCollectorFolder, PROGRAM), [`--config=yaml:${JSON.stringify(config)}`]);
  const ended = once(child, 'close');
  const received: ReceivedSpan[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => received.push(...spansIn(line)));
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      if (line.includes('Everything is ready')) resolve();
    });
    void ended.then(() => reject(new Error(`the collector ended: ${said.join('\n')}`)));
  });
  return {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${own}`,
    port: own,
    spans: (name) => received.filter((span) => name === undefined || span.name === name),
    signal: (name) => void child.kill(name),
    async close() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
