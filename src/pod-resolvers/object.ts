import type { KubeRequest } from '../kubernetes/client.ts';
import { resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { VIRTUAL } from '../policy/exemptions.ts';
import { listImages, type Listing } from './listing.ts';
import type { Remedies } from './remedies.ts';

/** The name of the one object in each namespace: a policy runs once for each parameter object. */
export const NAME = 'libc-dns';

/** `spec.leftOut` once more, for readers of metadata alone. */
export const LEFT_OUT = 'libc-dns.dev/left-out';

/** The namespace of the release whose leader wrote an object last. */
export const WRITTEN_BY = 'libc-dns.dev/namespace';

const FIELD_MANAGER = 'libc-dns-webhook';

/**
 * Bytes of the images in an object: it stays below 1 MiB, of the 1.5 that etcd takes. From Kubernetes 1.37 on the API server reads the whole
 * object anew for each Pod: about 0.03 ms a KB.
 */
export const MOST_BYTES = { until136: 900_000, since137: 200_000 } as const;

/** The spec of a PodResolvers (charts/libc-dns-webhook/files/podresolvers.yaml). */
export interface PodResolversSpec extends Remedies {
  readonly architecture: string;
  readonly count: number;
  readonly leftOut: number;
  readonly images: Listing;
  readonly virtual: typeof VIRTUAL;
}

/**
 * Returns the spec for a namespace. `images`: the entries, most used first; those for which there is no room are left out, and count as
 * unknown. `mostBytes`: see {@link MOST_BYTES}.
 */
export function podResolversSpec(
  remedies: Remedies,
  architecture: string,
  images: ReadonlyMap<string, string>,
  mostBytes: number = MOST_BYTES.until136,
): PodResolversSpec {
  const { images: listing, count } = listImages(images, mostBytes);
  return {
    architecture,
    count,
    leftOut: images.size - count,
    images: listing,
    ...remedies,
    virtual: VIRTUAL,
  };
}

/** Returns the request that writes a namespace's object. `release`: our own namespace, if it is known. */
export function applySpec(namespace: string, spec: PodResolversSpec, release = ''): KubeRequest {
  return {
    method: 'PATCH',
    path: resourcePath(RESOURCES.podResolvers, NAME, namespace),
    query: { fieldManager: FIELD_MANAGER, force: true },
    contentType: 'application/apply-patch+yaml',
    // The answer is read for its resourceVersion alone.
    accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
    body: {
      apiVersion: 'libc-dns.dev/v1alpha1',
      kind: 'PodResolvers',
      metadata: { name: NAME, namespace, annotations: { [LEFT_OUT]: String(spec.leftOut), [WRITTEN_BY]: release } },
      spec,
    },
  };
}

/** Returns the request that deletes a namespace's object. */
export const deleteObject = (namespace: string): KubeRequest => ({
  method: 'DELETE',
  path: resourcePath(RESOURCES.podResolvers, NAME, namespace),
});
