import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { APPS } from './apps.ts';
import { API_SERVER, certificatesOf, type Order } from './cluster/place.ts';

/** What became of Pods that were created at a steady rate. */
export interface Flood {
  readonly pods: number;
  readonly refused: number;
  readonly unpatched: number;
  /** When the first and the last Pod without a patch were asked for: milliseconds after the first of all. Undefined without any. */
  readonly unpatchedFrom?: number;
  readonly unpatchedTo?: number;
  /** What the API server or the connection to it said of the first Pod that was refused. */
  readonly refusal?: string;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

interface Answer {
  readonly sentAt: number;
  readonly status: number;
  readonly patched: boolean;
  readonly ms: number;
  /** What was said in place of a Pod. */
  readonly refusal?: string;
}

/** One of its Pods, as the API server answered. Times in milliseconds of `performance.now()`. */
export interface FloodPod {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly text: string;
}

interface FloodOptions {
  readonly namespace?: string;
  /** Called with each answer. */
  readonly onPod?: (pod: FloodPod) => void;
}

const CREATED = 201;

/** Milliseconds after which a Pod counts as refused if the API server has said nothing. */
const REFUSED_AFTER_MS = 30_000;

/** A Pod that no node takes: it has a gate that nobody opens. */
const gated = (name: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { flood: 'yes' } },
    spec: {
      schedulingGates: [{ name: 'e2e.test/never' }],
      containers: [{ name: 'app', image: 'registry.e2e.test/apps/glibc:1' }],
    },
  });

/** Creates Pods at a rate (a second) until `running` has ended. They are deleted afterwards by their label `flood`. */
export async function flood(
  order: Order,
  rate: number,
  running: Promise<unknown>,
  { namespace = APPS, onPod }: FloodOptions = {},
): Promise<Flood> {
  const file = (name: string): Buffer => readFileSync(join(certificatesOf(order.folder), name));
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 64,
    ca: file('ca.crt'),
    cert: file('admin.crt'),
    key: file('admin.key'),
  });
  const series = Date.now().toString(36);
  const create = (number: number): Promise<Answer> =>
    new Promise((resolve) => {
      const began = performance.now();
      const end = (status: number, patched: boolean, refusal?: string): void =>
        resolve({
          sentAt: began,
          status,
          patched,
          ms: performance.now() - began,
          ...(refusal === undefined ? {} : { refusal }),
        });
      const path = `/api/v1/namespaces/${namespace}/pods`;
      const options = {
        agent,
        host: API_SERVER,
        port: 6443,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(REFUSED_AFTER_MS),
      };
      const sent = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.once('end', () => {
          onPod?.({ sentAt: began, answeredAt: performance.now(), text });
          const patched = text.includes('libc-dns.dev/decision') && text.includes('single-request-reopen');
          const { statusCode = 0 } = response;
          end(statusCode, patched, statusCode === CREATED ? undefined : text);
        });
      });
      sent.once('error', ({ message }) => end(0, false, message)).end(gated(`flood-${series}-${number}`));
    });
  const answers: Promise<Answer>[] = [];
  const ended = new AbortController();
  const end = (): void => ended.abort();
  running.then(end, end);
  for (const began = performance.now(); !ended.signal.aborted;) {
    answers.push(create(answers.length));
    await sleep(Math.max(0, began + (answers.length * 1000) / rate - performance.now()));
  }
  await running;
  const all = await Promise.all(answers);
  agent.destroy();
  const times = all.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const percentile = (part: number): number =>
    Math.round(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0);
  const unpatched = all.filter(({ status, patched }) => status === CREATED && !patched);
  const refused = all.filter(({ status }) => status !== CREATED);
  const after = (answer: Answer | undefined): number => Math.round((answer?.sentAt ?? 0) - (all[0]?.sentAt ?? 0));
  return {
    pods: all.length,
    refused: refused.length,
    ...(refused[0]?.refusal === undefined ? {} : { refusal: refused[0].refusal.slice(0, 300) }),
    unpatched: unpatched.length,
    ...(unpatched.length === 0 ? {} : { unpatchedFrom: after(unpatched[0]), unpatchedTo: after(unpatched.at(-1)) }),
    p50: percentile(0.5),
    p99: percentile(0.99),
    longest: percentile(1),
  };
}

export function floodText(seen: Flood): string {
  const { pods, refused, refusal, unpatched, unpatchedFrom, unpatchedTo, p50, p99, longest } = seen;
  const why = refusal === undefined ? '' : ` (the first: ${refusal})`;
  const when = unpatchedFrom === undefined ? '' : ` (${unpatchedFrom} to ${unpatchedTo} ms after the first)`;
  return `${pods} Pods, ${refused} refused${why}, ${unpatched} unpatched${when}, p50 ${p50} ms, p99 ${p99}, longest ${longest}`;
}
