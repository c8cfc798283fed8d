import { messageOf } from '../util/text.ts';

/**
 * What a call to the API server came to. `conflict` is also "exists already", `gone` a resourceVersion that is too old to
 * go on from, `invalid` an object the server refused, `unreachable` no answer at all.
 */
export type KubeErrorCode =
  | 'unreachable'
  | 'timeout'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'conflict'
  | 'gone'
  | 'throttled'
  | 'invalid'
  | 'server'
  | 'malformed';

/** A call to the API server failed. The message is the server's own where it gave one: it names verb, resource and user. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  /** The HTTP status; absent where there was no answer. */
  readonly status: number | undefined;

  constructor(code: KubeErrorCode, message: string, options: { cause?: unknown; status?: number } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.status = options.status;
  }
}

/** Whether a call came to one of these. */
export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && codes.includes(error.code);
}

/** The error itself, where it is one; what else was thrown on the way is of `code`. */
export function asKubeError(error: unknown, code: KubeErrorCode): KubeError {
  return error instanceof KubeError ? error : new KubeError(code, String(error), { cause: error });
}

/** Returns code and message of anything that was thrown; the code is the class's name where it is no {@link KubeError}. */
export function codedError(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof KubeError) return error;
  return { code: error instanceof Error ? error.name : 'Error', message: messageOf(error) };
}

const CODES: Readonly<Record<number, KubeErrorCode>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  409: 'conflict',
  410: 'gone',
  422: 'invalid',
  429: 'throttled',
  504: 'timeout',
};

const MOST_MESSAGE = 500;

/** The error that an HTTP status and its body (a meta/v1 Status, mostly) stand for. */
export function statusError(status: number, body: string, what: string): KubeError {
  const code = CODES[status] ?? 'server';
  return new KubeError(code, `${what}: ${serverMessage(body) ?? `HTTP status ${status}`}`, { status });
}

function serverMessage(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string' && message !== '') return message.slice(0, MOST_MESSAGE);
  } catch {
    // Proxies in between answer in HTML: the status alone tells more.
  }
  return undefined;
}

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);

/** The error that a failure of the transport stands for. */
export function transportError(error: unknown, what: string): KubeError {
  if (error instanceof KubeError) return error;
  const { name, code, message } = error as Error & { code?: string };
  const timedOut = name === 'TimeoutError' || TIMEOUTS.has(code ?? '');
  const why = timedOut ? 'no answer in time' : message || code || 'the connection failed';
  return new KubeError(timedOut ? 'timeout' : 'unreachable', `${what}: ${why}`, { cause: error });
}
