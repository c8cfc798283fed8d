import type { WatchEvent } from './client.ts';
import type { NewList } from './collection-copy.ts';
import { KubeError } from './kube-error.ts';

/** What a watch is asked with: all that is there as ADDED, then a bookmark that says so (KEP-3157). */
export const STREAMED_LIST = {
  sendInitialEvents: true,
  resourceVersionMatch: 'NotOlderThan',
  resourceVersion: '',
} as const;

const ENDS = 'k8s.io/initial-events-end';

/** As many as all pages of a list hold. */
const MOST_EVENTS = 1_000_000;

/** A list that comes as the first events of a watch. */
export interface StreamedList {
  readonly listed: NewList;
  /** Aborted with a {@link KubeError} (timeout) where nothing came for `idleMs`. */
  readonly signal: AbortSignal;
  /** Whether the event was the end of the list. Throws {@link KubeError} (malformed) where the list does not end. */
  take(event: WatchEvent): boolean;
  /** Nothing is waited for any more. */
  stop(): void;
}

/** Collects events into `listed`; changes may come between those of the list (client-go: Reflector.watchList). */
export function streamedList(
  listed: NewList,
  { path, idleMs, most = MOST_EVENTS }: { readonly path: string; readonly idleMs: number; readonly most?: number },
): StreamedList {
  const stalled = new AbortController();
  const stall = (): void => stalled.abort(new KubeError('timeout', `list ${path}: nothing came for ${idleMs} ms`));
  const timer = setTimeout(stall, idleMs).unref();
  let events = 0;
  return {
    listed,
    signal: stalled.signal,
    take({ type, object }) {
      timer.refresh();
      events += 1;
      if (events > most) throw new KubeError('malformed', `list ${path}: more than ${most} events`);
      if (type === 'BOOKMARK') return object.metadata.annotations?.[ENDS] === 'true';
      if (type === 'DELETED') listed.remove(object);
      else listed.add(object);
      return false;
    },
    stop: () => clearTimeout(timer),
  };
}
