import type { Meter, RequestRecord } from '../image-source.ts';
import type { AfterManifest, LocalReader } from './image-reader.ts';
import { type FromReader, MOST_REQUESTS, outcomeOf, type ToReader } from './protocol.ts';

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
  const read = async (wanted: Read): Promise<void> => {
    const { id } = wanted;
    const one: ReadUnderWay = { end: new AbortController() };
    underWay.set(id, one);
    const done = await readOne(reader, wanted, one, channel);
    underWay.delete(id);
    channel.send({ type: 'done', id, ...done });
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

/** Reads one image. Never rejects. */
async function readOne(
  reader: LocalReader | undefined,
  { id, request, credentials, more, traced }: Read,
  underWay: ReadUnderWay,
  channel: MainChannel,
): Promise<Omit<Extract<FromReader, { type: 'done' }>, 'type' | 'id'>> {
  const { signal } = underWay.end;
  const { tenant } = request;
  const meter: Meter = { requests: 0, bytes: 0 };
  const requests: RequestRecord[] = [];
  const onRequest = (one: RequestRecord): void => void (requests.length < MOST_REQUESTS && requests.push(one));
  const told = traced === true ? { requests } : {};
  const logins = credentials !== undefined && { credentials };
  const context = { signal, meter, ...(tenant !== undefined && { tenant }), ...logins, ...(traced && { onRequest }) };
  const onManifest = (digest: string, seenAt: number, named?: string): Promise<AfterManifest> => {
    const { promise, resolve } = Promise.withResolvers<AfterManifest>();
    underWay.go = resolve;
    channel.send({ type: 'manifest', id, digest, seenAt, ...(named !== undefined && { named }) });
    return promise;
  };
  try {
    if (reader === undefined) throw new Error('the reader is not set up');
    const inspection = await reader.read(request, context, { more, onManifest });
    return { meter, outcome: { kind: 'read', inspection }, ...told };
  } catch (error) {
    return { meter, outcome: outcomeOf(error, signal), ...told };
  }
}
