import { request } from 'node:https';
import { connect } from 'node:tls';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Sending {
  readonly body: Uint8Array;
  /** Bytes at its end that are announced and not sent. */
  readonly left: number;
  /** Sends as many `{`, each as a chunk of its own, all at once, and announces no length. */
  readonly inBytes?: true;
}

interface Work {
  readonly url: string;
  /** The bodies of a round are sent at once, a round after another. */
  readonly rounds: readonly (readonly Sending[])[];
}

/** Resolves to the status; 0 if the connection was closed. */
const send = (url: string, { body, left }: Sending): Promise<number> =>
  new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const call = request(new URL('/mutate', url), { method: 'POST', rejectUnauthorized: false, headers });
    call.on('error', () => resolve(0));
    call.on('response', (response) => resolve(response.resume().statusCode ?? 0));
    call.write(body.subarray(0, body.length - left));
    if (left === 0) call.end();
  });

const HEAD = 'POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';

const sendInBytes = (url: string, { body, left }: Sending): Promise<number> =>
  new Promise<number>((resolve) => {
    const { hostname, port } = new URL(url);
    const chunks = '1\r\n{\r\n'.repeat(body.length - left);
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      socket.write(`${HEAD}${chunks}`);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(0));
    socket.on('data', (answer) => {
      resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(answer.toString())?.[1] ?? 0));
      socket.destroy();
    });
  });

const told = (statuses: readonly number[]): string =>
  [...new Set(statuses)].map((one) => `${statuses.filter((status) => status === one).length} of ${one}`).join(', ');

/** Sends bodies from a thread of its own, so that nothing here waits for them. Resolves to how many got which status. */
export const sendBodies = (work: Work): Promise<string> =>
  new Promise((resolve, reject) => {
    new Worker(new URL(import.meta.url), { workerData: work }).once('message', resolve).once('error', reject);
  });

if (!isMainThread) {
  const { url, rounds } = workerData as Work;
  const statuses: number[] = [];
  for (const round of rounds)
    statuses.push(...(await Promise.all(round.map((one) => (one.inBytes ? sendInBytes(url, one) : send(url, one))))));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- A thread, not a window.
  parentPort?.postMessage(told(statuses));
}
