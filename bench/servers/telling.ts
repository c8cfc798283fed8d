import pino from 'pino';
import { Counter, Histogram, Registry } from 'prom-client';

import { openFastify } from './fastify.ts';

/**
 * The telling floor: the floor with what any webhook has that patches Pods and is operated: the same patch for all, a line of the log
 * for each, a counter and a histogram. It decides nothing. Arguments: certificate file, key file, port. Ends at SIGTERM.
 */
const [certFile = '', keyFile = '', port = '0'] = process.argv.slice(2);

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request: {
    readonly uid: string;
    readonly namespace: string;
    readonly object: { readonly metadata: { readonly generateName?: string } };
  };
}

const OPTIONS = [{ name: 'single-request-reopen' }, { name: 'use-vc' }];
const PATCH = JSON.stringify([{ op: 'add', path: '/spec/dnsConfig', value: { options: OPTIONS } }]);
const registers = [new Registry()];
const log = pino({ base: null }, pino.destination({ dest: 2, sync: false }));
const counter = new Counter({ name: 'decisions_total', help: 'Pods.', labelNames: ['mode', 'reason'], registers });
const duration = new Histogram({ name: 'duration_seconds', help: 'Time of a review.', registers });

const app = openFastify(certFile, keyFile);
app.post('/mutate', async (request, reply) => {
  const began = performance.now();
  const { apiVersion, kind, request: review } = request.body as Review;
  const { uid, namespace, object } = review;
  const decision = { mode: 'enforce', reason: 'OptionsAdded' };
  const patched = { patchType: 'JSONPatch', patch: btoa(PATCH), auditAnnotations: decision };
  const ms = performance.now() - began;
  counter.inc(decision);
  duration.observe(ms / 1000);
  log.info({ uid, namespace, pod: object.metadata.generateName, ...decision, ms }, 'patched');
  reply.header('content-type', 'application/json; charset=utf-8');
  return JSON.stringify({ apiVersion, kind, response: { uid, allowed: true, ...patched } });
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
