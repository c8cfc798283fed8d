import { readFile } from 'node:fs/promises';

import { parse } from 'yaml';

import { parsePlatform } from '../../src/detection/platform.ts';
import type { StoredVerdict, StoreKey, StoreQuery } from '../../src/detection/verdict-store.ts';
import { createImageLibcStore, type ImageLibcStore, type ImageLibcStoreOptions } from '../../src/image-libc/store.ts';
import type { KubeClient } from '../../src/kubernetes/client.ts';
import { canonicalName } from '../../src/registry/reference.ts';
import { systemClock } from '../../src/util/clock.ts';
import { type Recording, recordingReporter } from './recording-reporter.ts';

const CRD = new URL('../../charts/libc-dns-webhook/files/imagelibcs.yaml', import.meta.url);

export const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
export const LIBCS_PATH = '/apis/libc-dns.dev/v1alpha1/imagelibcs';

export const canonical = canonicalName;

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

/** Waits until the memory of the API server, which a store lists first, is as new as etcd. */
export async function memoryIsNew(client: KubeClient): Promise<void> {
  const { metadata } = await client.request({ path: LIBCS_PATH });
  const query = { resourceVersion: metadata.resourceVersion ?? '', resourceVersionMatch: 'NotOlderThan' };
  await client.request({ path: LIBCS_PATH, query });
}

export const digestOf = (letter: string): string => `sha256:${letter.repeat(64)}`;

/** Returns a run key in the format of detection/keys.ts: a SHA-256 in base64. */
export const runOf = (letter: string): string => `${letter.repeat(43)}=`;

export const keyOf = (image: string, run = 'r'): StoreKey => ({
  image: canonical(image),
  platform: parsePlatform('linux/amd64'),
  run: runOf(run),
});

/** Returns what a store is asked for an image. */
export function queryOf(image: string, run = 'r'): StoreQuery {
  const { run: own, ...key } = keyOf(image, run);
  return { ...key, runs: [own] };
}

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
  /** Its log and metrics. */
  readonly report: Recording;
}

/** Opens a store with short retries that records its log and metrics. */
export function openStore(client: KubeClient, change: Partial<ImageLibcStoreOptions> = {}): WatchedStore {
  const report = recordingReporter();
  const store = createImageLibcStore({
    client,
    clock: systemClock,
    canonical,
    most: 1000,
    backoff: { first: 50, most: 200 },
    reporter: report.reporter,
    ...change,
  });
  return Object.assign(store, { report });
}
