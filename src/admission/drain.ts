import type { Server } from 'node:https';
import type { FastifyInstance } from 'fastify';

export type WebhookApp = FastifyInstance<Server>;

export interface DrainTimes {
  /** Milliseconds without a request after which the server closes. */
  readonly quietMs: number;
  /** Milliseconds after which the server closes, even if requests still come. */
  readonly mostMs: number;
}

export interface Drain {
  readonly draining: boolean;
  /** A request has come in. */
  enter(): void;
  /** Its answer has been sent, or its caller has gone. */
  leave(): void;
  /**
   * Starts to drain: from now on every answer must carry `Connection: close`. Resolves after `quietMs` without a request, or after
   * `mostMs`.
   */
  start(): Promise<void>;
}

/**
 * Lets a server stop without losing a request. API servers keep connections for 90 s and learn late that an endpoint is going, so a
 * server that closes at once breaks calls on their way (knative.dev/pkg network/handlers/drain.go).
 */
export function createDrain({ quietMs, mostMs }: DrainTimes): Drain {
  let draining = false;
  let inFlight = 0;
  let restart: (() => void) | undefined;
  return {
    get draining() {
      return draining;
    },
    enter() {
      inFlight += 1;
      restart?.();
    },
    leave() {
      inFlight -= 1;
      restart?.();
    },
    start() {
      draining = true;
      return new Promise<void>((resolve) => {
        let quiet: NodeJS.Timeout | undefined;
        let read: NodeJS.Immediate | undefined;
        const done = (): void => {
          clearTimeout(quiet);
          clearImmediate(read);
          clearTimeout(latest);
          restart = undefined;
          resolve();
        };
        const latest = setTimeout(done, mostMs);
        // A process that did not get the processor runs its timers first. Requests that came meanwhile are read after them.
        const onceRead = (): void => {
          read = setImmediate(done);
        };
        restart = () => {
          clearTimeout(quiet);
          clearImmediate(read);
          quiet = inFlight === 0 ? setTimeout(onceRead, quietMs) : undefined;
        };
        restart();
      });
    },
  };
}
