import type { Dispatcher } from 'undici';

import { ImageSourceError, type Meter } from '../detection/image-source.ts';
import { parseAddress } from './hosts/address.ts';
import { authorityOf } from './hosts/pattern.ts';
import type { HostRules } from './hosts/rules.ts';
import type { RegistryLimits } from './limits.ts';

/** Throws `ImageSourceError` `forbidden-host` for a URL that is denied, is not https and not listed as insecure, or holds a login. */
export function checkUrl(rules: HostRules, url: URL): void {
  const authority = authorityOf(url);
  const denied = rules.refuseHost(authority);
  if (denied !== undefined) {
    throw new ImageSourceError('forbidden-host', `${url.host} is refused: ${denied} by detection.registry.deny`);
  }
  const plain = url.protocol === 'http:' && rules.transport(authority).protocol === 'http:';
  if (url.protocol !== 'https:' && !plain) {
    const { hostname } = authority;
    const why = parseAddress(hostname) && rules.refuseAddress(authority, hostname, false);
    const hint = why
      ? `it would be refused with TLS too (${why})`
      : `list ${url.host} in detection.registry.insecure if plain HTTP is meant`;
    throw new ImageSourceError('forbidden-host', `${url.host} is not asked without TLS: ${hint}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new ImageSourceError('forbidden-host', `${url.host} is not asked: its URL holds a login`);
  }
}

/** Digests and offsets are of the bytes as they are stored, which is why `identity` was asked for. Throws where it did not come so. */
export function refuseEncoding(url: URL, { statusCode, headers, body }: Dispatcher.ResponseData): void {
  const encoding = String(headers['content-encoding'] ?? 'identity');
  if (encoding === 'identity' || statusCode >= 300) return;
  body.on('error', () => {}).destroy();
  throw new ImageSourceError('invalid-answer', `${url.host} answered in a content coding, though asked for none`);
}

/** Counts body bytes where they come off the wire, and headers, of which the parser bounds the size alone: an interceptor for one request. */
export function observe(url: URL, meter: Meter, limits: RegistryLimits): Dispatcher.DispatcherComposeInterceptor {
  return (next) => (request, handler) => {
    let interim = 0;
    return next(request, {
      onRequestStart: (controller, state) => handler.onRequestStart?.(controller, state),
      onResponseStart(controller, status, headers, text) {
        if (status < 200) interim += 1;
        if (interim > limits.interimAnswers || Object.keys(headers).length > limits.headerCount) {
          const message = `${url.host} sent more than ${limits.headerCount} headers, or interim answers without end`;
          controller.abort(new ImageSourceError('invalid-answer', message));
          return;
        }
        handler.onResponseStart?.(controller, status, headers, text);
      },
      onResponseData(controller, chunk) {
        meter.bytes += chunk.length;
        handler.onResponseData?.(controller, chunk);
      },
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
    });
  };
}
