/**
 * Milliseconds that a `Retry-After` header asks for, as seconds or as a date (RFC 9110 section 10.2.3); `fallback` where it
 * is missing or cannot be read; never more than `longest`. `now` is milliseconds since 1970.
 */
export function retryAfterMs(
  header: string | undefined,
  options: { readonly now: number; readonly fallback: number; readonly longest: number },
): number {
  const text = header?.trim() ?? '';
  const asked = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : dateIn(text, options.now);
  return Math.min(Math.max(asked ?? options.fallback, 0), options.longest);
}

function dateIn(text: string, now: number): number | undefined {
  // Date.parse takes a bare number for a year; every HTTP date begins with the name of a day.
  const at = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at - now;
}

/** Waits, or rejects with the signal's reason. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
