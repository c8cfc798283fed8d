import type { Server } from 'node:https';
import type { FastifyInstance } from 'fastify';

export type WebhookApp = FastifyInstance<Server>;

export interface DrainTimes {
  /** Milliseconds without any request after which nobody is thought to call any more. */
  readonly quietMs: number;
  /** Milliseconds after which the server closes whatever comes in. */
  readonly mostMs: number;
}

export interface Drain {
  readonly draining: boolean;
  /**
   * Tells callers to go elsewhere (`Connection: close` on every answer) while still answering them, and resolves when
   * none has called for `quietMs`, or after `mostMs`.
   */
  start(): Promise<void>;
}

/**
 * Makes `server` leave without losing a request: API servers keep connections for 90 s and learn of a leaving endpoint
 * late, so a server that closes at once breaks calls that are on their way (knative.dev/pkg network/handlers/drain.go).
 */
export function installDrain(server: WebhookApp, { quietMs, mostMs }: DrainTimes): Drain {
  let draining = false;
  let inFlight = 0;
  let restart: (() => void) | undefined;

  server.addHook('onRequest', (_request, reply, done) => {
    inFlight += 1;
    restart?.();
    // Not the hook `onResponse`: who goes away within a body is not told of by it.
    reply.raw.once('close', () => {
      inFlight -= 1;
      restart?.();
    });
    done();
  });
  server.addHook('onSend', (_request, reply, payload, done) => {
    if (draining) reply.header('connection', 'close');
    done(null, payload);
  });
  return {
    get draining() {
      return draining;
    },
    start() {
      draining = true;
      return new Promise<void>((resolve) => {
        let quiet: NodeJS.Timeout | undefined;
        const done = (): void => {
          clearTimeout(quiet);
          clearTimeout(latest);
          restart = undefined;
          resolve();
        };
        const latest = setTimeout(done, mostMs);
        restart = () => {
          clearTimeout(quiet);
          quiet = inFlight === 0 ? setTimeout(done, quietMs) : undefined;
        };
        restart();
      });
    },
  };
}
