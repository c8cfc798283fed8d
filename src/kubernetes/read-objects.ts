import type { z } from 'zod';

import type { KubeClient } from './client.ts';
import { shaped } from './cluster-facts-shape.ts';
import { isKubeError } from './kube-error.ts';
import { eachObject } from './list-pages.ts';
import type { Resource } from './objects.ts';

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Items after which no further page is asked for. */
  readonly most: number;
}

/**
 * Reads a list page by page, each item through `read` as it comes, so that one page at a time is held. Items of which `read`
 * makes undefined are left out. Rejects with {@link KubeError}.
 */
export async function listAll<T>(
  client: Pick<KubeClient, 'request'>,
  resource: Resource,
  { namespace, labelSelector, fieldSelector, most }: ListOptions,
  read: (item: unknown) => T | undefined,
): Promise<T[]> {
  const found: T[] = [];
  const query = {
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
  };
  const isEnough = (): boolean => found.length >= most;
  const scope = namespace === undefined ? {} : { namespace };
  await eachObject({ client, resource, query, pageSize: 500, isEnough, ...scope }, () => {
    found.length = 0;
    return (item) => {
      const one = read(item);
      if (one !== undefined) found.push(one);
    };
  });
  return found.slice(0, most);
}

/** A reader for {@link listAll} by schema: an item that is not as the API has it is an error, and says which field. */
export function by<T>(schema: z.ZodType<T>, kind: string): (item: unknown) => T {
  return (item) => shaped(schema, item, kind);
}

/** One object; undefined where there is none. */
export async function getOne<T>(
  client: Pick<KubeClient, 'request'>,
  path: string,
  read: (object: unknown) => T,
): Promise<T | undefined> {
  try {
    return read(await client.request({ path }));
  } catch (error) {
    if (isKubeError(error, 'not-found')) return undefined;
    throw error;
  }
}
