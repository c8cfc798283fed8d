import { readLines, type Transport } from './client.ts';
import { KubeError, statusError, transportError } from './errors.ts';

/** An API server of a large cluster writes some ten MiB. */
const MOST_LINES = 500_000;

/** Samples of ours: two entries, a few labels each. */
const MOST_FOUND = 1000;

/**
 * Lines of the API server's own metrics that begin with one of the names, read as they come. Rejects with {@link KubeError}:
 * `forbidden` for who may not read /metrics.
 */
export async function apiServerMetrics(
  transport: Transport,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const what = 'GET /metrics';
  try {
    const { headers, dispatcher } = await transport.prepare();
    const url = new URL(`${transport.server.replace(/\/$/, '')}/metrics`);
    const { statusCode, body } = await dispatcher.request({
      origin: url.origin,
      path: url.pathname,
      method: 'GET',
      headers: { ...headers, accept: 'text/plain' },
      signal,
    });
    if (statusCode !== 200) throw statusError(statusCode, (await body.text()).slice(0, 10_000), what);
    const found: string[] = [];
    let count = 0;
    for await (const lines of readLines(body as AsyncIterable<Buffer>)) {
      count += lines.length;
      if (count > MOST_LINES) throw new KubeError('malformed', `${what}: more than ${MOST_LINES} lines`);
      for (const line of lines) {
        if (names.some((name) => line.startsWith(`${name}{`)) && found.length < MOST_FOUND) found.push(line);
      }
    }
    return found;
  } catch (error) {
    throw transportError(error, what);
  }
}
