import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

export interface Target {
  readonly port: number;
  readonly path: string;
  readonly ca: string;
}

/** Adds the timeout that an API server puts into the URL. */
export const targetOf = ({ port, path }: Omit<Target, 'ca'>, ca: string): Target => ({
  port,
  path: `${path}?timeout=10s`,
  ca,
});

/** A keep-alive connection that carries one request at a time, like an API server's. */
interface Connection {
  /** False once the server has closed it or announced that it will. */
  readonly open: boolean;
  /** Resolves to the response body. Rejects if the status is not 200. */
  send(request: Buffer): Promise<string>;
  close(): void;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n');

interface Answer {
  readonly body: string;
  /** Whether the server sent `connection: close`. */
  readonly isLast: boolean;
}

/** Parses a response; undefined until it is complete. */
function readAnswer(answer: Buffer): Answer | undefined {
  const end = answer.indexOf(HEAD_END);
  if (end === -1) return undefined;
  const head = answer.toString('latin1', 0, end);
  const body = answer.subarray(end + HEAD_END.length);
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  const whole = length === undefined ? body.indexOf(LAST_CHUNK) !== -1 : body.length >= Number(length);
  if (!whole) return undefined;
  if (!head.startsWith('HTTP/1.1 200')) throw new Error(head.split('\r\n', 1)[0]);
  return { body: body.toString(), isLast: /^connection: close/im.test(head) };
}

async function openConnection({ port, ca }: Target): Promise<Connection> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  let read: Buffer[] = [];
  let open = true;
  let waiting: PromiseWithResolvers<string> | undefined;
  const fail = (error: Error): void => {
    open = false;
    waiting?.reject(error);
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the connection was closed')));
  socket.on('data', (chunk: Buffer) => {
    read.push(chunk);
    try {
      const answer = readAnswer(read.length === 1 ? chunk : Buffer.concat(read));
      if (answer === undefined) return;
      read = [];
      if (answer.isLast) open = false;
      waiting?.resolve(answer.body);
    } catch (error) {
      fail(error as Error);
    }
  });
  return {
    get open() {
      return open;
    },
    send(request) {
      waiting = Promise.withResolvers<string>();
      socket.write(request);
      return waiting.promise;
    },
    close: () => socket.destroy(),
  };
}

export interface Caller {
  /** Sends a review over a free connection, else over a new one. Resolves to the response body. */
  call(review: string): Promise<string>;
  close(): void;
}

/** Creates a client that calls a webhook like an API server: keep-alive, one connection per concurrent call. */
export function createCaller(target: Target): Caller {
  const free: Connection[] = [];
  const all = new Set<Connection>();
  const requests = new Map<string, Buffer>();
  const requestFor = (review: string): Buffer => {
    const known = requests.get(review);
    if (known !== undefined) return known;
    const head =
      `POST ${target.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(review)}\r\n\r\n`;
    const made = Buffer.from(head + review);
    if (requests.size < 5000) requests.set(review, made);
    return made;
  };
  const drop = (connection: Connection): void => {
    all.delete(connection);
    connection.close();
  };
  const take = async (): Promise<Connection> => {
    for (let connection = free.pop(); connection !== undefined; connection = free.pop()) {
      if (connection.open) return connection;
      drop(connection);
    }
    return await openConnection(target);
  };
  return {
    async call(review) {
      const connection = await take();
      all.add(connection);
      try {
        const body = await connection.send(requestFor(review));
        free.push(connection);
        return body;
      } catch (error) {
        drop(connection);
        throw error;
      }
    },
    close() {
      for (const connection of all) connection.close();
    },
  };
}

/** Throws if a webhook does not patch the review: a webhook that leaves Pods alone would look cheaper than it is. */
export async function assertPatches(target: Target, review: string): Promise<void> {
  const caller = createCaller(target);
  const answer = await caller.call(review);
  caller.close();
  if (!answer.includes('"patchType":"JSONPatch"')) throw new Error(`what is measured is not patched: ${answer}`);
}
