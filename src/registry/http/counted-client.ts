import type { Socket } from 'node:net';

import { type buildConnector, Client, type Dispatcher } from 'undici';

import { ImageSourceError } from '../../detection/image-source.ts';
import type { RegistryLimits } from './limits.ts';

/** What a connection has received for the answer under way. */
interface Count {
  socket?: Socket;
  /** `bytesRead` of the socket when the request began. */
  from: number;
  /** Bytes of the body that have come out. */
  body: number;
}

/**
 * One connection, whose answers may not hold much besides their bodies. undici's parser bounds headers and trailers, and passes over
 * the rest without a limit (extensions of chunks): it would read that as fast as it comes, and call it silence.
 */
class CountedClient extends Client {
  readonly #count: Count;

  constructor(origin: string | URL, options: Client.Options, count: Count) {
    super(origin, options);
    this.#count = count;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const count = this.#count;
    return super.dispatch(options, {
      onRequestStart(controller, context) {
        count.from = count.socket?.bytesRead ?? 0;
        count.body = 0;
        handler.onRequestStart?.(controller, context);
      },
      onResponseStart: (...start) => handler.onResponseStart?.(...start),
      onResponseData(controller, chunk) {
        count.body += chunk.length;
        handler.onResponseData?.(controller, chunk);
      },
      onResponseEnd: (...end) => handler.onResponseEnd?.(...end),
      onResponseError: (...error) => handler.onResponseError?.(...error),
    });
  }
}

/** Creates a connection to `origin` that ends if an answer holds more than `overheadBytes` and half of its body besides the body. */
export function createCountedClient(
  origin: URL,
  options: Client.Options & { readonly connect: buildConnector.connector },
  { overheadBytes }: Pick<RegistryLimits, 'overheadBytes'>,
): Client {
  const count: Count = { from: 0, body: 0 };
  const { connect } = options;
  return new CountedClient(
    origin,
    {
      ...options,
      connect: (request, callback) =>
        connect(request, (...result) => {
          const [, socket] = result;
          if (socket !== null) count.socket = socket;
          socket?.on('readable', () => {
            const besides = socket.bytesRead - count.from - count.body;
            if (besides <= overheadBytes + count.body / 2) return;
            const message = `${origin.host} sent more than ${overheadBytes} bytes besides the body of its answer`;
            socket.destroy(new ImageSourceError('invalid-answer', message));
          });
          callback(...result);
        }),
    },
    count,
  );
}
