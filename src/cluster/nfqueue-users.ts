import { z } from 'zod';

import { nfqueueProduct } from '../exposure/nfqueue.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { listAll, shaped } from '../kubernetes/lists.ts';
import { RESOURCES } from '../kubernetes/objects.ts';

const containers = z
  .array(z.object({ image: z.string().default('') }))
  .nullish()
  .transform((all) => all ?? []);

/** apps/v1 DaemonSet, as far as it tells whose program it runs. */
const daemonSet = z.object({
  metadata: z.object({ namespace: z.string(), name: z.string() }),
  spec: z.object({ template: z.object({ spec: z.object({ containers, initContainers: containers }) }) }),
});

/** More are not told apart: one is enough. */
const MOST = 100;

function userOf(object: unknown): string | undefined {
  const { metadata, spec } = shaped(daemonSet, object, 'DaemonSet');
  const { containers: main, initContainers } = spec.template.spec;
  const images = [...main, ...initContainers].map(({ image }) => image);
  const product = nfqueueProduct({ name: metadata.name, images });
  return product && `${product} (DaemonSet ${metadata.namespace}/${metadata.name})`;
}

/** Returns the DaemonSets that are known to use NFQUEUE: `kindnet (DaemonSet kube-system/kindnet)`. Rejects with `KubeError`. */
export async function readNfqueueUsers(client: Pick<KubeClient, 'request'>): Promise<readonly string[]> {
  return await listAll(client, RESOURCES.daemonSets, { most: MOST }, userOf);
}
