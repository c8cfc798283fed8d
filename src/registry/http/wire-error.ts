import { errors as undiciErrors } from 'undici';

import { type ImageSourceCode, ImageSourceError } from '../../detection/image-source.ts';

const explained: Readonly<Record<string, [code: ImageSourceCode, message: string]>> = {
  UND_ERR_HEADERS_OVERFLOW: ['invalid-answer', 'sent more headers than are read'],
  UND_ERR_HEADERS_TIMEOUT: ['unavailable', 'did not answer in time'],
  UND_ERR_BODY_TIMEOUT: ['unavailable', 'stopped sending in the middle of its answer'],
  UND_ERR_CONNECT_TIMEOUT: ['unavailable', 'did not take the connection in time'],
  UND_ERR_SOCKET: ['unavailable', 'closed the connection in the middle of its answer'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['unavailable', 'closed the connection in the middle of its answer'],
  UND_ERR_RES_EXCEEDED_MAX_SIZE: ['invalid-answer', 'sent more than is read'],
  // undici asserts some rules of HTTP, above all that a server does not switch protocols by itself.
  ERR_ASSERTION: ['invalid-answer', 'gave an answer that HTTP/1.1 does not have for this'],
  ECONNREFUSED: ['unavailable', 'refused the connection'],
  ECONNRESET: ['unavailable', 'reset the connection'],
  EPIPE: ['unavailable', 'reset the connection'],
  ETIMEDOUT: ['unavailable', 'did not take the connection in time'],
  EHOSTUNREACH: ['unavailable', 'cannot be reached from here'],
  ENETUNREACH: ['unavailable', 'cannot be reached from here'],
  ENOTFOUND: ['unavailable', 'has no address: check its name, or the DNS of this host'],
  EAI_AGAIN: ['unavailable', 'could not be looked up: the DNS of this host did not answer'],
  EPROTO: ['unavailable', 'does not speak TLS: list it in detection.registry.insecure if plain HTTP is meant'],
  ERR_SSL_WRONG_VERSION_NUMBER: [
    'unavailable',
    'does not speak TLS: list it in detection.registry.insecure if plain HTTP is meant',
  ],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: [
    'unavailable',
    'does not speak TLS: list it in detection.registry.insecure if plain HTTP is meant',
  ],
  ERR_TLS_CERT_ALTNAME_INVALID: ['unavailable', 'has a certificate for another name'],
};

// OpenSSL's verification results, as Node names them.
const distrust = /CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)|^HOSTNAME_MISMATCH$/;

/** Codes after which the same request may well succeed on a new connection. */
const resets = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** Returns the code of a network error; for the `AggregateError` of several addresses, the code of the first. */
function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const { code, errors } = error as { code?: unknown; errors?: unknown };
  if (typeof code === 'string') return code;
  return Array.isArray(errors) && errors.length > 0 ? codeOf(errors[0]) : '';
}

export function isReset(error: unknown): boolean {
  return resets.has(codeOf(error));
}

/** Reports whether the DNS answered that there is no such name: addresses that it had are void. */
export function isUnknownName(error: unknown): boolean {
  return codeOf(error) === 'ENOTFOUND';
}

/** Describes what went wrong with a request to `host`. Returns an `ImageSourceError` unchanged. */
export function describeWireError(host: string, error: unknown): ImageSourceError {
  if (error instanceof ImageSourceError) return error;
  if (error instanceof undiciErrors.HTTPParserError) {
    // Not the cause: this error quotes the bytes that it could not parse.
    return new ImageSourceError('invalid-answer', `${host} does not speak HTTP/1.1`);
  }
  const code = codeOf(error);
  const known = Object.hasOwn(explained, code) ? explained[code] : undefined;
  if (known !== undefined) return new ImageSourceError(known[0], `${host} ${known[1]}`, { cause: error });
  if (distrust.test(code)) {
    const message = `${host} has a certificate that is not trusted (${code}): name its CA in detection.registry.caFile`;
    return new ImageSourceError('unavailable', message, { cause: error });
  }
  const name = code === '' ? 'unknown error' : code;
  return new ImageSourceError('unavailable', `${host} could not be asked (${name})`, { cause: error });
}
