import { LRUCache } from 'lru-cache';
import { z } from 'zod';

import type { KubeClient } from './client.ts';
import { KubeError } from './errors.ts';
import { type Resource, resourcePath } from './objects.ts';

/** What an Event is about: core/v1 ObjectReference, without its namespace. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** meta/v1 OwnerReference. Whoever creates Pods writes them: the bounds are those of the API's own names. */
const reference = z.object({
  apiVersion: z.string().min(1).max(128),
  kind: z.string().min(1).max(63),
  name: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/),
  uid: z.string().min(1).max(64),
  controller: z.literal(true),
});

/** Whoever creates Pods chooses how many there are. */
const MOST_OWNERS = 32;

const owned = z.object({ metadata: z.object({ uid: z.string().optional(), ownerReferences: z.unknown() }) });

/** The controller among `metadata.ownerReferences`, undefined where there is none. */
export function controllerOf(owners: unknown): EventSubject | undefined {
  if (!Array.isArray(owners) || owners.length > MOST_OWNERS) return undefined;
  for (const one of owners) {
    const found = reference.safeParse(one).data;
    if (found === undefined) continue;
    const { controller: _controller, ...subject } = found;
    return subject;
  }
  return undefined;
}

/** What people look at stands above these. */
const MIDDLE: Readonly<Record<string, Resource>> = {
  'apps/v1 ReplicaSet': { group: 'apps', version: 'v1', plural: 'replicasets' },
  'batch/v1 Job': { group: 'batch', version: 'v1', plural: 'jobs' },
};

const MOST_REMEMBERED = 2000;

export interface EventSubjects {
  /** The Deployment of a ReplicaSet, the CronJob of a Job; else, or where that cannot be read, the owner itself. */
  topOf(owner: EventSubject, namespace: string, signal: AbortSignal): Promise<EventSubject>;
}

export function createEventSubjects(client: Pick<KubeClient, 'request'>): EventSubjects {
  const known = new LRUCache<string, EventSubject>({ max: MOST_REMEMBERED });
  return {
    async topOf(owner, namespace, signal) {
      const resource = MIDDLE[`${owner.apiVersion} ${owner.kind}`];
      if (resource === undefined) return owner;
      const remembered = known.get(owner.uid);
      if (remembered !== undefined) return remembered;
      try {
        const path = resourcePath(resource, owner.name, namespace);
        const object: unknown = await client.request({ path, signal });
        const read = owned.safeParse(object).data?.metadata;
        // The Pod's author may have named somebody else's.
        const top = (read?.uid === owner.uid ? controllerOf(read.ownerReferences) : undefined) ?? owner;
        known.set(owner.uid, top);
        return top;
      } catch (error) {
        if (error instanceof KubeError) return owner;
        throw error;
      }
    },
  };
}
