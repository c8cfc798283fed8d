import { messageOf } from '../util/text.ts';

/**
 * Why a call to the API server failed. `conflict`: also "already exists" · `gone`: the resourceVersion or continuation is too
 * old · `invalid`: the server refused the object · `unreachable`: there was no response · `too-large`: the answer is larger than
 * any that is read.
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
  | 'too-large'
  | 'malformed';

/** A call to the API server: `{ method: 'GET', path: '/api/v1/nodes' }`, or `watch` in place of the method. */
export interface KubeCall {
  readonly method: string;
  readonly path: string;
}

interface KubeErrorOptions {
  readonly cause?: unknown;
  readonly status?: number;
  readonly reason?: string;
  readonly call?: KubeCall;
}

/** A call to the API server failed. The message is the server's own, if there is one: it names verb, resource and user. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  /** The HTTP status; undefined if there was no response. */
  readonly status: number | undefined;
  /** The message without the call; undefined if the message names none. */
  readonly reason: string | undefined;
  /** undefined if the failure does not belong to one call. */
  readonly call: KubeCall | undefined;

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.reason = options.reason;
    this.call = options.call;
  }
}

/** Reports whether an error is a {@link KubeError} with one of these codes. */
export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && codes.includes(error.code);
}

/** Returns a {@link KubeError} as it is; wraps anything else in one with `code`. */
export function asKubeError(error: unknown, code: KubeErrorCode): KubeError {
  return error instanceof KubeError ? error : new KubeError(code, String(error), { cause: error });
}

/** Returns code and message of anything that was thrown; the code is the error's name if it is not a {@link KubeError}. */
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

/** `GET /api/v1/nodes`. */
const callText = ({ method, path }: KubeCall): string => `${method} ${path}`;

/** Returns the error of a call, with the call in its message. */
export function callError(
  code: KubeErrorCode,
  reason: string,
  call: KubeCall,
  options: KubeErrorOptions = {},
): KubeError {
  return new KubeError(code, `${callText(call)}: ${reason}`, { ...options, reason, call });
}

/** How server-side apply, with status 500, refuses a field that the CustomResourceDefinition does not have (structured-merge-diff). */
const UNKNOWN_FIELD = 'field not declared in schema';

/** Returns the error for an HTTP status and its body, usually a meta/v1 Status. */
export function statusError(status: number, body: string, call: KubeCall): KubeError {
  const message = serverMessage(body);
  const code = message?.includes(UNKNOWN_FIELD) === true ? 'invalid' : (CODES[status] ?? 'server');
  return callError(code, message ?? `HTTP status ${status}`, call, { status });
}

function serverMessage(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string' && message !== '') return message.slice(0, MOST_MESSAGE);
  } catch {
    // Proxies answer in HTML: then the status says more than the body.
  }
  return undefined;
}

const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);

/** Returns the error for a failure of the transport. `what`: the call, or what else failed. */
export function transportError(error: unknown, what: KubeCall | string): KubeError {
  if (error instanceof KubeError) return error;
  const { name, code, message } = error as Error & { code?: string };
  const timedOut = name === 'TimeoutError' || TIMEOUTS.has(code ?? '');
  const why = timedOut ? 'no answer in time' : message || code || 'the connection failed';
  const kind = timedOut ? 'timeout' : 'unreachable';
  if (typeof what === 'string') return new KubeError(kind, `${what}: ${why}`, { cause: error });
  return callError(kind, why, what, { cause: error });
}
