import type { AfterManifest, LocalReader } from './image-reader.ts';
import { type FromReader, outcomeOf, type ReadOutcome, type ToReader } from './protocol.ts';

/** The channel to main: `process` of a child that was forked. */
export interface MainChannel {
  send(message: FromReader): void;
  onMessage(receive: (message: ToReader) => void): void;
}

interface ReadServerOptions {
  readonly channel: MainChannel;
  /** Opens the reader that main has described. `tell` sends an event to main. */
  readonly open: (setUp: unknown, tell: (event: unknown) => void) => Promise<LocalReader> | LocalReader;
}

interface ReadUnderWay {
  readonly end: AbortController;
  /** Continues after the manifest; absent while nothing waits for that. */
  go?: (answer: AfterManifest) => void;
}

type Read = Extract<ToReader, { type: 'read' }>;

/** Reads images for main: the reader process's side of the channel. */
export function serveReads({ channel, open }: ReadServerOptions): void {
  const underWay = new Map<number, ReadUnderWay>();
  let reader: LocalReader | undefined;
  const setUp = async (given: unknown): Promise<void> => {
    try {
      reader = await open(given, (event) => channel.send({ type: 'event', event }));
      channel.send({ type: 'ready' });
    } catch (error) {
      channel.send({ type: 'refused', message: error instanceof Error ? error.message : 'unknown error' });
    }
  };
  const read = async ({ id, request, credentials, more }: Read): Promise<void> => {
    const one: ReadUnderWay = { end: new AbortController() };
    underWay.set(id, one);
    const { signal } = one.end;
    const meter = { requests: 0, bytes: 0 };
    const onManifest = (digest: string, seenAt: number): Promise<AfterManifest> => {
      const { promise, resolve } = Promise.withResolvers<AfterManifest>();
      one.go = resolve;
      channel.send({ type: 'manifest', id, digest, seenAt });
      return promise;
    };
    let outcome: ReadOutcome;
    try {
      if (reader === undefined) throw new Error('the reader is not set up');
      const { tenant } = request;
      const context = {
        signal,
        meter,
        ...(tenant !== undefined && { tenant }),
        ...(credentials !== undefined && { credentials }),
      };
      outcome = { kind: 'read', inspection: await reader.read(request, context, { more, onManifest }) };
    } catch (error) {
      outcome = outcomeOf(error, signal);
    }
    underWay.delete(id);
    channel.send({ type: 'done', id, meter, outcome });
  };
  channel.onMessage((message) => {
    switch (message.type) {
      case 'set-up':
        void setUp(message.setUp);
        break;
      case 'read':
        void read(message);
        break;
      case 'after-manifest':
        underWay.get(message.id)?.go?.(message.answer);
        break;
      case 'abort':
        underWay.get(message.id)?.end.abort();
        underWay.get(message.id)?.go?.('stop');
        break;
      case 'ping':
        channel.send({ type: 'pong' });
        break;
      default:
        message satisfies never;
    }
  });
  channel.send({ type: 'hello' });
}
