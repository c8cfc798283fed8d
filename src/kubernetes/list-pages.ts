import type { KubeClient } from './client.ts';
import { isKubeError, KubeError } from './kube-error.ts';
import { resourcePath, type KubeObject, type Resource } from './objects.ts';

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
