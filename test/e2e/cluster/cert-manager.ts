import { join } from 'node:path';

import { certManagerFolder } from '../../kubernetes/programs.ts';
import type { Cluster } from './cluster.ts';
import { certificatesOf, NODES } from './place.ts';

const NAME = 'cert-manager';

/** Lets `run` happen while cert-manager issues certificates and injects CAs (test/kubernetes/cert-manager). Its CRDs stay. */
export async function withCertManager<T>(cluster: Cluster, run: () => Promise<T>): Promise<T> {
  const { order, daemons } = cluster;
  await cluster.kubectl('apply', '--server-side', '-f', join(certManagerFolder, 'crds'));
  await cluster.kubectl('wait', '--for=condition=Established', 'customresourcedefinition', '--all', '--timeout=60s');
  const kubeconfig = join(certificatesOf(order.folder), 'admin.kubeconfig');
  daemons.start(NAME, NODES[0].name, join(certManagerFolder, NAME), ['-kubeconfig', kubeconfig]);
  try {
    return await run();
  } finally {
    await daemons.stop(NAME);
  }
}
