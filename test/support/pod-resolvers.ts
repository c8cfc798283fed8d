import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

import type { Listing } from '../../src/pod-resolvers/listing.ts';
import type { TestCluster } from './cluster.ts';

const CRD = new URL('../../charts/libc-dns-webhook/files/podresolvers.yaml', import.meta.url);

/** Installs the definition of PodResolvers, and waits until the API serves it. */
export async function installPodResolvers({ apply, kubectl }: TestCluster): Promise<void> {
  await apply(parse(readFileSync(CRD, 'utf8')) as object);
  await kubectl(['wait', '--for=condition=Established', 'crd/podresolvers.libc-dns.dev', '--timeout=30s']);
}

/** Returns the entries of a listing without narrower places, as `imageEntry()` names them: resolvers by `IMAGE bare`. */
export function entriesIn(listing: Listing): Record<string, string> {
  return Object.fromEntries(
    Object.entries(listing).flatMap(([resolvers, places]) =>
      Object.entries(places).flatMap(([place, forms]) =>
        Object.entries(forms).flatMap(([form, names]) =>
          names
            .trim()
            .split(' ')
            .map((name) => [`${place}${name}${form === '' ? '' : ` ${form}`}`, resolvers] as const),
        ),
      ),
    ),
  );
}
