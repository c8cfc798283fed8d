import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import { caSecret } from '../../src/certificates/ca-secret.ts';
import { webhookRegistration } from '../../src/certificates/registration.ts';
import { type Lifetimes, type SelfManaged, selfManagedCertificates } from '../../src/certificates/self-managed.ts';
import type { KubeClient } from '../../src/kubernetes/client.ts';
import { createReporter, type Reporter, silentReporter } from '../../src/telemetry/reporter.ts';
import { systemClock } from '../../src/util/clock.ts';
import { WEBHOOK_HOST } from './cluster.ts';

export interface ReplicaOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly registration: string;
  readonly lifetimes: Lifetimes;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** A webhook with self-managed certificates that allows everything. */
export interface Replica {
  readonly certificates: SelfManaged;
  readonly url: string;
  /** Its log lines about certificates, in order, abbreviated. */
  readonly said: string[];
  /** SHA-256 of the CAs of the served certificates, in order. */
  readonly issuers: string[];
  /** Reviews answered. */
  readonly calls: () => number;
  readonly stop: () => Promise<void>;
}

async function listen(certificates: SelfManaged, onCall: () => void): Promise<Server> {
  const server = createServer(certificates.current(), (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => void (body += chunk.toString()));
    request.on('end', () => {
      onCall();
      const {
        apiVersion,
        kind,
        request: review,
      } = JSON.parse(body) as { request: { uid: string } } & Record<string, unknown>;
      response.setHeader('content-type', 'application/json');
      // A keep-alive connection would never test the next certificate.
      response.setHeader('connection', 'close');
      response.end(JSON.stringify({ apiVersion, kind, response: { uid: review.uid, allowed: true } }));
    });
  });
  certificates.onChange((pair) => server.setSecureContext(pair));
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, WEBHOOK_HOST, resolve));
  return server;
}

/** Abbreviates a log line; undefined if it is not about changes or failures. */
function inShort(message: string, fields: object): string | undefined {
  const { reason, change, why, ours, others, times, error } = fields as Record<string, string>;
  if (error !== undefined) return `${message.endsWith('cannot be watched') ? 'watch' : 'error'}: ${error}`;
  if (message.startsWith('the shared CA: ')) return `problem: ${message.slice('the shared CA: '.length)}`;
  switch (message) {
    case 'certificate in use':
      return `issued: ${reason}`;
    case 'this replica has changed the shared CA':
      return `${change}: ${why}`;
    case 'the shared CA is in order again':
      return 'problem: undefined';
    case 'the caBundle of our registration was written':
      return `bundle: ${ours} and ${others}`;
    case 'something else keeps overwriting the caBundle of our registration: only one may own it':
      return `contested: ${times}`;
    default:
      return undefined;
  }
}

function reporterTo(said: string[], issuers: string[]): Reporter {
  const line = (first: object | string, second = ''): void => {
    const [message, fields] = typeof first === 'string' ? [first, {}] : [second, first];
    if ('ca' in fields) issuers.push(String(fields.ca));
    const short = inShort(message, fields);
    if (short !== undefined) said.push(short);
  };
  const log = { ...silentReporter.log, info: line, warn: line, error: line };
  return createReporter({ log, clock: systemClock });
}

/** Starts only the certificates, and records their log. */
export function startCertificates(options: ReplicaOptions): Pick<Replica, 'certificates' | 'said' | 'issuers'> {
  const { client, namespace, registration, lifetimes, now = Date.now } = options;
  const clock = { now, monotonic: () => performance.now() };
  const said: string[] = [];
  const issuers: string[] = [];
  const reporter = reporterTo(said, issuers);
  const certificates = selfManagedCertificates({
    store: caSecret({ client, namespace, name: 'ca', clock, reporter }),
    bundle: webhookRegistration({
      client,
      name: registration,
      service: { namespace, name: 'webhook' },
      clock,
      reporter,
    }),
    names: [{ type: 'ip', value: WEBHOOK_HOST }],
    clock,
    random: Math.random,
    lifetimes,
    reporter,
  });
  return { certificates, said, issuers };
}

/** Starts a replica. Resolves when it serves. */
export async function startReplica(options: ReplicaOptions): Promise<Replica> {
  const { certificates, said, issuers } = startCertificates(options);
  await certificates.ready;
  let calls = 0;
  const server = await listen(certificates, () => void (calls += 1));
  return {
    certificates,
    url: `https://${WEBHOOK_HOST}:${(server.address() as AddressInfo).port}/`,
    said,
    issuers,
    calls: () => calls,
    stop: async () => {
      await certificates.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
