import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import { caSecret } from '../../src/certificates/ca-secret.ts';
import { webhookRegistration } from '../../src/certificates/registration.ts';
import { type Lifetimes, type SelfManaged, selfManagedCertificates } from '../../src/certificates/self-managed.ts';
import type { KubeClient } from '../../src/kubernetes/client.ts';
import { WEBHOOK_HOST } from './cluster.ts';

interface ReplicaOptions {
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
  /** The hooks' messages, in order. */
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

/** Starts only the certificates, and records their hooks' messages. */
export function startCertificates(options: ReplicaOptions): Pick<Replica, 'certificates' | 'said' | 'issuers'> {
  const { client, namespace, registration, lifetimes, now = Date.now } = options;
  const clock = { now, monotonic: () => performance.now() };
  const said: string[] = [];
  const issuers: string[] = [];
  const onWatchError = ({ message }: Error): void => void said.push(`watch: ${message}`);
  const certificates = selfManagedCertificates({
    store: caSecret({ client, namespace, name: 'ca', clock, hooks: { onWatchError } }),
    bundle: webhookRegistration({
      client,
      name: registration,
      service: { namespace, name: 'webhook' },
      clock,
      hooks: { onWatchError },
    }),
    names: [{ type: 'ip', value: WEBHOOK_HOST }],
    clock,
    random: Math.random,
    lifetimes,
    hooks: {
      onIssued: ({ ca, reason }) => {
        issuers.push(ca);
        said.push(`issued: ${reason}`);
      },
      onCaChange: ({ change, why }) => said.push(`${change}: ${why}`),
      onProblem: (problem) => said.push(`problem: ${problem}`),
      onError: ({ message }) => said.push(`error: ${message}`),
      onBundleWritten: ({ ours, others }) => said.push(`bundle: ${ours} and ${others}`),
      onContested: (times) => said.push(`contested: ${times}`),
    },
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
