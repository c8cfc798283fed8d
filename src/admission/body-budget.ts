import type { FastifyRequest } from 'fastify';

import type { WebhookApp } from './drain.ts';

/** Bytes of bodies that are read or answered at once: nine of the largest, or 20,000 ordinary Pods. */
const MOST_BYTES = 64 * 1024 * 1024;

/** There is no room for another body now. */
class BodyBudgetError extends Error {
  override readonly name = 'BodyBudgetError';
  readonly code = 'too-much-at-once';
  readonly statusCode = 503;
}

function announced({ headers }: FastifyRequest, largest: number): number {
  if (headers['transfer-encoding'] !== undefined) return largest;
  return Math.min(largest, Number(headers['content-length'] ?? 0));
}

/**
 * Refuses bodies (503) where those that are under way have announced `most` bytes: whoever reaches the port could else fill the
 * memory with bodies that never end. `largest`: of one body, which is what a body of unknown length counts.
 */
export function limitBodies(app: WebhookApp, largest: number, most = MOST_BYTES): void {
  let bytes = 0;
  app.addHook('onRequest', (request, reply, done) => {
    const size = announced(request, largest);
    if (bytes + size > most) {
      void reply.header('connection', 'close');
      done(new BodyBudgetError('too many large requests at once'));
      return;
    }
    bytes += size;
    // Not the hook `onResponse`: who goes away within a body is not told of by it.
    reply.raw.once('close', () => {
      bytes -= size;
    });
    done();
  });
}
