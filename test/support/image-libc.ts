import { readFile } from 'node:fs/promises';

import { parse } from 'yaml';

import { parsePlatform } from '../../src/detection/platform.ts';
import type { StoredVerdict, StoreKey } from '../../src/detection/verdict-store.ts';
import {
  createImageLibcStore,
  type ImageLibcStore,
  type ImageLibcStoreOptions,
  type ImageLibcWrite,
} from '../../src/image-libc/store.ts';
import type { KubeClient } from '../../src/kubernetes/client.ts';
import type { KubeError } from '../../src/kubernetes/errors.ts';
import { formatReference, parseReference } from '../../src/registry/reference.ts';

const CRD = new URL('../../charts/libc-dns-webhook/files/imagelibcs.yaml', import.meta.url);

export const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
export const LIBCS_PATH = '/apis/libc-dns.dev/v1alpha1/imagelibcs';

export const canonical = (text: string): string => formatReference(parseReference(text));

/** Installs the CustomResourceDefinition and waits until the API serves it. */
export async function installImageLibcs(client: KubeClient): Promise<void> {
  const body = parse(await readFile(CRD, 'utf8')) as object;
  await client.request({ method: 'POST', path: CRD_PATH, body });
  for (;;) {
    const served = await client.request({ path: LIBCS_PATH }).then(
      () => true,
      () => false,
    );
    if (served) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}

export const digestOf = (letter: string): string => `sha256:${letter.repeat(64)}`;

/** Returns a run key in the format of detection/keys.ts: a SHA-256 in base64. */
export const runOf = (letter: string): string => `${letter.repeat(43)}=`;

export const keyOf = (image: string, run = 'r'): StoreKey => ({
  image: canonical(image),
  platform: parsePlatform('linux/amd64'),
  run: runOf(run),
});

export const foundMusl = (checkedAt: number, change: Partial<StoredVerdict['inspection']> = {}): StoredVerdict => ({
  checkedAt,
  inspection: {
    digest: digestOf('a'),
    platform: parsePlatform('linux/amd64'),
    executable: '/usr/sbin/nginx',
    verdict: {
      resolver: 'musl',
      libc: 'musl',
      evidence: {
        source: 'executable',
        detail: '/usr/sbin/nginx: interpreter /lib/ld-musl-x86_64.so.1',
        confidence: 0.99,
      },
    },
    ...change,
  },
});

export interface WatchedStore extends ImageLibcStore {
  /** The calls of its hooks, in order: `written verdict NAME`, `reads lost forbidden`. */
  readonly told: string[];
}

/** Opens a store with short retries that records the calls of its hooks. */
export function openStore(client: KubeClient, change: Partial<ImageLibcStoreOptions> = {}): WatchedStore {
  const told: string[] = [];
  const writes = (kind: ImageLibcWrite) => ({
    onWritten: (name: string) => void told.push(`written ${kind} ${name}`),
    onRefused: (name: string, { code }: KubeError) => void told.push(`refused ${kind} ${code} ${name}`),
    onLost: ({ code }: KubeError) => void told.push(`writes of ${kind} lost ${code}`),
    onRecovered: () => void told.push(`writes of ${kind} recovered`),
    onDropped: (name: string) => void told.push(`dropped ${kind} ${name}`),
  });
  const store = createImageLibcStore({
    client,
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    canonical,
    most: 1000,
    tagTtlMs: 600_000,
    backoff: { first: 50, most: 200 },
    hooks: {
      reads: {
        onLost: ({ code }) => void told.push(`reads lost ${code}`),
        onRecovered: () => void told.push('reads recovered'),
        onSynced: (items) => void told.push(`synced ${items}`),
      },
      onIgnored: (name, why) => void told.push(`ignored ${name}: ${why}`),
      writes,
    },
    ...change,
  });
  return Object.assign(store, { told });
}
