import { z } from 'zod';

import { plainMessage } from '../util/expectation.ts';
import type { KubeClient } from './client.ts';
import { isKubeError, KubeError } from './errors.ts';
import { type KubeObject, type Resource, resourcePath } from './objects.ts';

export interface PagesOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly resource: Resource;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Requests only the objects' metadata. */
  readonly metadataOnly?: boolean;
  /** Objects in a page; whole Pods take some 10 KB each. Default 250. */
  readonly pageSize?: number;
  /** Called after each page; true: no further page is read. */
  readonly isEnough?: () => boolean;
  readonly signal?: AbortSignal;
}

/** A page of a list. */
interface Page {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

interface PageRequest {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

/**
 * Returns a function that reads the page that begins at a continuation; an empty one means the first. After a page that is too large
 * it asks for half as many objects, down to one, and then for more again: the creators of objects choose how large they are. Rejects
 * with `KubeError`, or with the signal's reason.
 */
export function pageReader(
  client: Pick<KubeClient, 'request'>,
  { query, ...request }: PageRequest,
  pageSize: number,
): (from: string) => Promise<Page> {
  let limit = pageSize;
  return async (from) => {
    for (;;) {
      try {
        const page = await client.request<Page>({
          ...request,
          query: { ...query, limit, ...(from !== '' && { continue: from }) },
          timeoutMs: LIST_MS,
          ...(limit > 1 && { mostBytes: PAGE_BYTES }),
        });
        limit = Math.min(pageSize, 2 * limit);
        return page;
      } catch (error) {
        if (!isKubeError(error, 'too-large') || limit === 1) throw error;
        limit = Math.ceil(limit / 2);
      }
    }
  };
}

/** Most bytes of a page of several objects: the thread that parses it answers reviews, too, and 16 MiB take it 0.1 s. */
const PAGE_BYTES = 4 * 1024 * 1024;

/** A bound, for a server may send pages without end. */
const MOST_PAGES = 5000;

const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

const LIST_MS = 30_000;

async function readPages(options: PagesOptions, each: (object: KubeObject) => void): Promise<void> {
  const { client, resource, namespace, query, metadataOnly = false, pageSize = 250, isEnough, signal } = options;
  const path = resourcePath(resource, undefined, namespace);
  const request = { path, query, ...(signal && { signal }), ...(metadataOnly && { accept: METADATA }) };
  const read = pageReader(client, request, pageSize);
  let next = '';
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await read(next);
    for (const object of answer.items ?? []) each(object);
    next = answer.metadata?.continue ?? '';
    if (next === '' || isEnough?.()) return;
  }
  throw new KubeError('malformed', `list ${path}: more than ${MOST_PAGES} pages`);
}

/**
 * Reads a collection page by page and passes each object to the function that `begin` returns; one page is in memory at a
 * time. `begin` is called again if the list has to start over because its continuation has expired (410). Rejects with
 * `KubeError`, or with the signal's reason.
 */
export async function eachObject(options: PagesOptions, begin: () => (object: KubeObject) => void): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await readPages(options, begin());
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
  /** Most items that are returned; no further page is read then. */
  readonly most: number;
}

/**
 * Reads a list page by page and returns what `read` makes of each item; items for which it returns undefined are left out.
 * Rejects with {@link KubeError}.
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

/** Returns a reader for {@link listAll} and {@link getOne} by schema. It throws as {@link shaped} does. */
export function by<T>(schema: z.ZodType<T>, kind: string): (item: unknown) => T {
  return (item) => shaped(schema, item, kind);
}

/** Reads one object; undefined if it does not exist. Rejects with {@link KubeError}. */
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

/** Parses an object by its schema. Throws {@link KubeError} (malformed), naming the first invalid field. */
export function shaped<T>(schema: z.ZodType<T>, object: unknown, kind: string): T {
  const { data, error } = schema.safeParse(object, { error: plainMessage });
  if (data !== undefined) return data;
  const issue = error?.issues[0];
  const where = issue?.path.join('.') || 'the answer';
  throw new KubeError('malformed', `not a ${kind}: ${where}: ${issue?.message ?? 'not as expected'}`.slice(0, 300));
}

/** The `data` of a ConfigMap, or of a Secret in base64. */
export const stringData = z
  .object({ data: z.record(z.string(), z.string()).nullish() })
  .transform(({ data }) => data ?? {});
