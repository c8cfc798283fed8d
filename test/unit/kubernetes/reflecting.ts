import { createReflector, type Reflector, type ReflectorOptions } from '../../../src/kubernetes/reflector.ts';
import { type Asked, isStream, type SmallApi } from './small-api.ts';

export const isWatch = ({ query }: Asked): boolean => query.get('watch') === 'true';

/** Returns what kind of request it is. */
export const kindOf = (asked: Asked): string => (isStream(asked) ? 'stream' : isWatch(asked) ? 'watch' : 'list');

export const objectOf = (name: string, resourceVersion: string, annotations = {}) => ({
  metadata: { name, resourceVersion, annotations },
});

/** The bookmark that ends a list that comes as events. */
export const END_OF_STREAM = objectOf('', '20', { 'k8s.io/initial-events-end': 'true' });

/** Starts a reflector of an API, which keeps the versions of objects, and notes in `events` what it tells. */
export function reflect(
  api: SmallApi,
  change: (events: string[]) => Partial<ReflectorOptions<string>> = () => ({}),
): { readonly reflector: Reflector<string>; readonly events: string[] } {
  const events: string[] = [];
  const reflector = createReflector<string>({
    client: api.client,
    path: '/api/v1/namespaces',
    keep: ({ metadata }) => metadata.resourceVersion ?? '',
    onChange: (key, now, before) => events.push(`${key}: ${before ?? '-'} -> ${now ?? '-'}`),
    onError: ({ code }) => events.push(`error ${code}`),
    onSynced: (items) => events.push(`synced ${items}`),
    clock: { now: () => Date.now() },
    backoff: { first: 10, most: 100 },
    ...change(events),
  });
  return { reflector, events };
}
