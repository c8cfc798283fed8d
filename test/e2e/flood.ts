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
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

interface Answer {
  readonly status: number;
  readonly patched: boolean;
  readonly ms: number;
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
    new Promise((resolve, reject) => {
      const began = performance.now();
      const path = `/api/v1/namespaces/${namespace}/pods`;
      const options = {
        agent,
        host: API_SERVER,
        port: 6443,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      };
      const sent = request(options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.once('end', () => {
          onPod?.({ sentAt: began, answeredAt: performance.now(), text });
          const patched = text.includes('libc-dns.dev/decision') && text.includes('single-request-reopen');
          resolve({ status: response.statusCode ?? 0, patched, ms: performance.now() - began });
        });
      });
      sent.once('error', reject).end(gated(`flood-${series}-${number}`));
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
  return {
    pods: all.length,
    refused: all.filter(({ status }) => status !== 201).length,
    unpatched: all.filter(({ status, patched }) => status === 201 && !patched).length,
    p50: percentile(0.5),
    p99: percentile(0.99),
    longest: percentile(1),
  };
}

export const floodText = ({ pods, refused, unpatched, p50, p99, longest }: Flood): string =>
  `${pods} Pods, ${refused} refused, ${unpatched} unpatched, p50 ${p50} ms, p99 ${p99}, longest ${longest}`;
