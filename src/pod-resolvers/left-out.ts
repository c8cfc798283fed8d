import type { KubeClient } from '../kubernetes/client.ts';
import { eachObject } from '../kubernetes/lists.ts';
import { RESOURCES } from '../kubernetes/objects.ts';
import { LEFT_OUT, NAME } from './object.ts';

/** How many images the PodResolvers of a namespace leaves out, for each namespace that has one. */
export type LeftOut = ReadonlyMap<string, number>;

/** Lists the PodResolvers of all namespaces. Rejects with `KubeError` or the signal's reason. */
export async function listLeftOut(client: Pick<KubeClient, 'request'>, signal?: AbortSignal): Promise<LeftOut> {
  const found = new Map<string, number>();
  const listing = { client, resource: RESOURCES.podResolvers, metadataOnly: true, ...(signal && { signal }) };
  await eachObject(listing, () => {
    // The list begins anew.
    found.clear();
    return ({ metadata: { name, namespace, annotations } }) => {
      if (name === NAME && namespace !== undefined) found.set(namespace, Number(annotations?.[LEFT_OUT] ?? 0));
    };
  });
  return found;
}
