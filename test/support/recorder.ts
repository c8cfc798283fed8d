import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { createCertificate } from './certificate.ts';
import { WEBHOOK_HOST } from './cluster.ts';

interface Review {
  readonly request: { readonly uid: string; readonly object: { readonly metadata: { readonly name?: string } } };
}

/** A webhook that changes nothing and records the Pods it is called for. */
export interface Recorder {
  readonly clientConfig: { readonly url: string; readonly caBundle: string };
  /** Returns the number of calls by Pod name, and resets it. */
  readonly take: () => Map<string, number>;
  readonly stop: () => Promise<void>;
}

export async function startRecorder(): Promise<Recorder> {
  const { cert, key } = await createCertificate([WEBHOOK_HOST]);
  let seen = new Map<string, number>();
  const server = createServer({ cert, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
      const name = review.request.object.metadata.name ?? '';
      seen.set(name, (seen.get(name) ?? 0) + 1);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ ...review, response: { uid: review.request.uid, allowed: true } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, WEBHOOK_HOST, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    clientConfig: { url: `https://${WEBHOOK_HOST}:${port}/mutate`, caBundle: Buffer.from(cert).toString('base64') },
    take: () => {
      const taken = seen;
      seen = new Map();
      return taken;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
