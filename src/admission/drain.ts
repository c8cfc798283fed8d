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
  /** A request has come in. */
  enter(): void;
  /** Its answer has been sent, or its caller has gone. */
  leave(): void;
  /**
   * From here on every answer is to tell its caller to go elsewhere (`Connection: close`). Resolves when none has called for
   * `quietMs`, or after `mostMs`.
   */
  start(): Promise<void>;
}

/**
 * Has a server leave without losing a request: API servers keep connections for 90 s and learn of a leaving endpoint
 * late, so a server that closes at once breaks calls that are on their way (knative.dev/pkg network/handlers/drain.go).
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
        // A process that was not given the processor has its timers first: what has come in meanwhile is read after them.
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
