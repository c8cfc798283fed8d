import type { Clock } from '../util/clock.ts';
import type { Trouble } from '../telemetry/reporter.ts';
import type { KubeClient } from './client.ts';
import type { KubeError } from './errors.ts';
import { type KubeObject, type Resource, resourcePath } from './objects.ts';
import { createReflector } from './reflector.ts';

interface FollowOptions<T> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly name: string;
  readonly namespace?: string;
  readonly clock: Pick<Clock, 'now'>;
  /** What is seen before anything was read. */
  readonly unseen: T;
  /** Of the object; of undefined where there is none. */
  readonly read: (object: KubeObject | undefined) => T;
  /** What is seen where it could not be read or watched; the same `seen` where that changes nothing. */
  readonly onTrouble: (seen: T, error: KubeError) => T;
  /** Reported where the object cannot be read or watched. */
  readonly trouble?: Trouble;
}

interface Followed<T> {
  readonly seen: T;
  /** Whether changes are heard of: false while the API server cannot be reached. */
  readonly inContact: boolean;
  /** Calls back when `seen` has changed. */
  onChange(listener: () => void): void;
  close(): Promise<void>;
}

/** Bookmarks come about once a minute. */
const CONTACT_MS = 180_000;

/**
 * Lists and watches one object by its name: RBAC can grant that with `resourceNames`
 * (kubernetes.io/docs/reference/access-authn-authz/rbac: referring to resources).
 */
export function followObject<T>(options: FollowOptions<T>): Followed<T> {
  const { client, resource, name, namespace, clock, read, onTrouble, trouble } = options;
  const listeners: (() => void)[] = [];
  let seen = options.unseen;
  const see = (now: T): void => {
    if (now === seen) return;
    seen = now;
    for (const listener of listeners) listener();
  };
  const reflector = createReflector<{ readonly value: T }>({
    client,
    path: resourcePath(resource, undefined, namespace),
    query: { fieldSelector: `metadata.name=${name}` },
    clock,
    keep: (object) => ({ value: read(object) }),
    onChange: (_key, now) => see(now === undefined ? read(undefined) : now.value),
    onSynced: (items) => {
      if (items === 0) see(read(undefined));
    },
    onError: (error) => see(onTrouble(seen, error)),
    ...(trouble && { trouble }),
  });
  return {
    get seen() {
      return seen;
    },
    get inContact() {
      return reflector.contactAt !== undefined && clock.now() - reflector.contactAt < CONTACT_MS;
    },
    onChange: (listener) => void listeners.push(listener),
    close: () => reflector.close(),
  };
}
