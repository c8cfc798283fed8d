import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

import { REHEARSED_IMAGES, sendMadeUpReviews } from '../../../src/admission/rehearsal.ts';
import { isPodCreation, parseReview } from '../../../src/admission/review.ts';
import { readPod } from '../../../src/policy/read-pod.ts';
import { createCertificate } from '../../support/certificate.ts';

const { cert, key } = await createCertificate();

type Answer = (...given: Parameters<RequestListener>) => unknown;

async function sendTo(answer: Answer, calls: number, signal = new AbortController().signal): Promise<void> {
  const server = createServer({ cert, key }, (...given) => void answer(...given));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await sendMadeUpReviews({ port: (server.address() as AddressInfo).port, ca: cert, calls, signal });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('made-up reviews', () => {
  it('are Pods as API servers send them, of all kinds of images, with own command lines and init containers', async () => {
    const bodies: Buffer[] = [];
    await sendTo(async (request, response) => {
      expect([request.method, request.url, request.headers['content-type']]).toEqual([
        'POST',
        '/mutate?timeout=5s',
        'application/json',
      ]);
      bodies.push(Buffer.from(await text(request)));
      response.end('{}');
    }, 63);
    expect(bodies).toHaveLength(63);
    const reviews = bodies.map(parseReview);
    expect(reviews.every(isPodCreation)).toBe(true);
    expect(new Set(reviews.map(({ uid }) => uid)).size).toBe(60);
    const containers = reviews.flatMap(({ object }) => readPod(object).containers);
    expect(new Set(containers.map(({ image }) => image))).toEqual(new Set(Object.values(REHEARSED_IMAGES)));
    expect(containers.some(({ args }) => args.length > 0)).toBe(true);
    expect(containers.length).toBeGreaterThan(reviews.length);
  });

  it('are sent one after another, whatever pieces an answer comes in', async () => {
    let [underWay, most, calls] = [0, 0, 0];
    await sendTo((request, response) => {
      underWay += 1;
      most = Math.max(most, underWay);
      calls += 1;
      request.resume();
      response.writeHead(200, { 'content-length': '4' }).write('{ ');
      setImmediate(() => {
        underWay -= 1;
        response.end(' }');
      });
    }, 25);
    expect([calls, most]).toEqual([25, 1]);
  });

  it('end with an error if the server refuses one', async () => {
    const refusing: Answer = (_, response) => response.writeHead(400).end('{}');
    await expect(sendTo(refusing, 2)).rejects.toThrow('unexpected answer: HTTP/1.1 400 Bad Request');
  });

  it('end with an error if the server closes the connection', async () => {
    await expect(sendTo((request) => void request.socket.destroy(), 2)).rejects.toThrow(
      /the connection has ended|ECONNRESET/,
    );
  });

  it('end with the reason for which they were aborted, while an answer is awaited', async () => {
    const stopping = new AbortController();
    const sent = sendTo(() => stopping.abort(new Error('stop')), 2, stopping.signal);
    await expect(sent).rejects.toThrow('stop');
  });

  it('end with an error if nothing listens', async () => {
    const { signal } = new AbortController();
    await expect(sendMadeUpReviews({ port: 1, ca: cert, calls: 1, signal })).rejects.toThrow('ECONNREFUSED');
  });
});
