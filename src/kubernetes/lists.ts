import { z } from 'zod';

import type { KubeClient } from './client.ts';
import { isKubeError, KubeError } from './errors.ts';
import { type KubeObject, type Resource, resourcePath } from './objects.ts';

export interface PagesOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly resource: Resource;
  /** Absent: all. */
  readonly namespace?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Ask for metadata alone. */
  readonly metadataOnly?: boolean;
  /** Objects of a page; whole Pods take some 10 KB each. */
  readonly pageSize?: number;
  /** Asked after each page: whether no further one is wanted. */
  readonly isEnough?: () => boolean;
  readonly signal?: AbortSignal;
}

interface Page {
  readonly metadata?: { readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

/** A server whose pages never end is not followed for ever. */
const MOST_PAGES = 5000;

const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

const LIST_MS = 30_000;

async function readOnce(options: PagesOptions, each: (object: KubeObject) => void): Promise<void> {
  const { client, resource, namespace, query, metadataOnly = false, pageSize = 250, isEnough, signal } = options;
  const path = resourcePath(resource, undefined, namespace);
  let next = '';
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer: Page = await client.request({
      path,
      query: { ...query, limit: pageSize, ...(next !== '' && { continue: next }) },
      timeoutMs: LIST_MS,
      ...(signal && { signal }),
      ...(metadataOnly && { accept: METADATA }),
    });
    for (const object of answer.items ?? []) each(object);
    next = answer.metadata?.continue ?? '';
    if (next === '' || isEnough?.()) return;
  }
  throw new KubeError('malformed', `list ${path}: more than ${MOST_PAGES} pages`);
}

/**
 * Reads a collection page by page; one page is in memory at a time. `begin` is called before the first page, and again where the
 * list has to begin anew, because the server no longer knows its continuation (410). Rejects with `KubeError`, or with the
 * signal's reason.
 */
export async function eachObject(options: PagesOptions, begin: () => (object: KubeObject) => void): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await readOnce(options, begin());
      return;
    } catch (error) {
      if (!isKubeError(error, 'gone') || attempt === 3) throw error;
    }
  }
}

interface ListOptions {
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

/** The object as its schema has it; throws {@link KubeError} (malformed), naming the first field that is not as expected. */
export function shaped<T>(schema: z.ZodType<T>, object: unknown, kind: string): T {
  const { data, error } = schema.safeParse(object);
  if (data !== undefined) return data;
  const issue = error?.issues[0];
  const where = issue?.path.join('.') || 'the answer';
  throw new KubeError('malformed', `not a ${kind}: ${where}: ${issue?.message ?? 'not as expected'}`.slice(0, 300));
}

/** The strings of a ConfigMap, or of a Secret in base64. */
export const stringData = z
  .object({ data: z.record(z.string(), z.string()).nullish() })
  .transform(({ data }) => data ?? {});
