import type { KubeClient } from './client.ts';
import type { KubeError } from './kube-error.ts';
import { resourcePath, type KubeObject, type Resource } from './objects.ts';
import { createReflector } from './reflector.ts';

export interface FollowOptions<T> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly name: string;
  readonly namespace?: string;
  readonly clock: { now(): number };
  readonly read: (object: KubeObject) => T;
  /** Called with each version of the object, and with undefined where there is none. */
  readonly onSeen: (value: T | undefined) => void;
  /** It could not be read or watched; tried again in `waitMs`. */
  readonly onError: (error: KubeError, waitMs: number) => void;
}

export interface Followed {
  /** Whether changes are heard of: false while the API server cannot be reached. */
  readonly inContact: boolean;
  close(): Promise<void>;
}

/** Bookmarks come about once a minute. */
const CONTACT_MS = 180_000;

/**
 * Lists and watches one object by its name: RBAC can grant that with `resourceNames`
 * (kubernetes.io/docs/reference/access-authn-authz/rbac: referring to resources).
 */
export function followObject<T>(options: FollowOptions<T>): Followed {
  const { client, resource, name, namespace, clock, onSeen, onError } = options;
  const reflector = createReflector<{ readonly value: T }>({
    client,
    path: resourcePath(resource, undefined, namespace),
    query: { fieldSelector: `metadata.name=${name}` },
    clock,
    keep: (object) => ({ value: options.read(object) }),
    onChange: (_key, now) => onSeen(now?.value),
    hooks: {
      onSynced: (items) => {
        if (items === 0) onSeen(undefined);
      },
      onError,
    },
  });
  return {
    get inContact() {
      return reflector.contactAt !== undefined && clock.now() - reflector.contactAt < CONTACT_MS;
    },
    close: () => reflector.close(),
  };
}
