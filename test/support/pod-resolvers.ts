import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

import type { TestCluster } from './cluster.ts';

const CRD = new URL('../../charts/libc-dns-webhook/files/podresolvers.yaml', import.meta.url);

/** Installs the definition of PodResolvers, and waits until the API serves it. */
export async function installPodResolvers({ apply, kubectl }: TestCluster): Promise<void> {
  await apply(parse(readFileSync(CRD, 'utf8')) as object);
  await kubectl(['wait', '--for=condition=Established', 'crd/podresolvers.libc-dns.dev', '--timeout=30s']);
}
