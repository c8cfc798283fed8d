import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket, TlsOptions } from 'node:tls';

import type { CallerRefusal, Callers } from '../certificates/clients/callers.ts';
import type { CertificateSource } from '../certificates/source.ts';
import type { LimitedLines } from '../telemetry/log-limits.ts';
import type { Metrics } from '../telemetry/metrics.ts';

interface CallersOptions {
  readonly certificates: CertificateSource;
  /** Absent: any caller may send reviews. */
  readonly callers?: Callers;
  readonly metrics: Pick<Metrics, 'refused' | 'callerRefused'>;
  readonly warn: LimitedLines;
}

/** Returns what new connections get now: the serving certificate, and the CAs by which a client's is verified. */
export const secureContext = ({ certificates, callers }: Omit<CallersOptions, 'metrics' | 'warn'>): TlsOptions => ({
  ...certificates.current(),
  minVersion: 'TLSv1.2',
  // A handshake that fails tells an API server's log less than an answer does.
  ...(callers && { ca: callers.ca.current().pem, requestCert: true, rejectUnauthorized: false }),
});

const REFUSALS: Readonly<Record<CallerRefusal, string>> = {
  none: 'no client certificate was presented, and tls.clientCaFile asks for one',
  untrusted: 'no CA of tls.clientCaFile signed the client certificate for this use',
  expired: 'the client certificate has expired',
  name: 'the client certificate has none of the names in tls.clientNames',
};

/**
 * Reports whether the caller is refused, and answers it then: 403 with plain text, which alone an API server quotes in its log (client-go
 * `transformResponse`, `NewGenericServerResponse`).
 */
export function isRefused(options: CallersOptions, { socket }: IncomingMessage, response: ServerResponse): boolean {
  const { callers, metrics, warn } = options;
  const refusal = callers?.refusal(socket as TLSSocket);
  if (refusal === undefined) return false;
  const error = REFUSALS[refusal];
  metrics.refused(403);
  metrics.callerRefused(refusal);
  warn(`caller refused: ${error}`, { status: 403, from: socket.remoteAddress });
  const text = `${error} (docs/security.md, "Who may call")`;
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text) };
  // The body is not read, so the connection cannot be used again.
  response.writeHead(403, { ...headers, connection: 'close' }).end(text);
  return true;
}
