import { DETECTOR_VERSION } from '../detection/detector.ts';
import { platformName } from '../detection/platform.ts';
import type { StoredVerdict, StoreKey } from '../detection/verdict-store.ts';
import type { KubeRequest } from './client.ts';
import { FIELD_MANAGER } from './image-libc-owner.ts';
import { imageLibcName } from './image-libc.ts';
import { resourcePath, RESOURCES } from './objects.ts';

const MOST_DETAIL = 1000;
const SOURCES: ReadonlySet<string> = new Set(['executable', 'base-layer', 'history', 'label']);

const secondsOf = (milliseconds: number): string => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;

/** Whether the schema has room for it. Pods choose references and, by their nodeSelector, platforms. */
export function isStorable({ image, platform }: StoreKey, { inspection }: StoredVerdict): boolean {
  const { verdict, executable = '' } = inspection;
  return (
    image.length <= 1024 &&
    /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/u.test(platformName(platform)) &&
    platformName(platform).length <= 64 &&
    executable.length <= 4096 &&
    /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/u.test(inspection.digest) &&
    verdict.resolver !== 'unknown' &&
    SOURCES.has(verdict.evidence.source)
  );
}

/** Without force: what somebody else has set stays as it is (kubernetes.io: server-side apply, conflicts). */
function apply(name: string, fields: object, subresource = ''): KubeRequest {
  return {
    method: 'PATCH',
    path: `${resourcePath(RESOURCES.imageLibcs, name)}${subresource}`,
    query: { fieldManager: FIELD_MANAGER, force: false },
    contentType: 'application/apply-patch+yaml',
    body: { apiVersion: 'libc-dns.dev/v1alpha1', kind: 'ImageLibc', metadata: { name }, ...fields },
    timeoutMs: 5000,
  };
}

/** Writes a verdict that this version of the detector has found. */
export function applyVerdict(key: StoreKey, { inspection, checkedAt }: StoredVerdict): KubeRequest {
  const { verdict, digest, executable, decidedBy } = inspection;
  const { source, detail, confidence } = verdict.evidence;
  return apply(imageLibcName(key), {
    spec: {
      image: key.image,
      platform: platformName(key.platform),
      resolver: verdict.resolver,
      libc: verdict.libc,
      evidence: { source, detail: detail.slice(0, MOST_DETAIL), confidencePercent: Math.round(confidence * 100) },
      detection: {
        digest,
        run: key.run,
        ...(decidedBy !== undefined && { decidedBy }),
        ...(executable !== undefined && { executable }),
        detectorVersion: DETECTOR_VERSION,
        seenAt: secondsOf(checkedAt),
      },
    },
  });
}

/** Writes when an object was last used, and its image last seen to be the same. Milliseconds since 1970. */
export function applyUse(name: string, use: { readonly checkedAt: number; readonly lastUsedAt: number }): KubeRequest {
  const { checkedAt, lastUsedAt } = use;
  const status = { checkedAt: secondsOf(checkedAt), lastUsedAt: secondsOf(lastUsedAt) };
  return apply(name, { status }, '/status');
}

/** Deletes the object as it was seen: somebody may have used or edited it since. */
export function deleteUnchanged(name: string, resourceVersion: string): KubeRequest {
  return {
    method: 'DELETE',
    path: resourcePath(RESOURCES.imageLibcs, name),
    body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } },
    timeoutMs: 5000,
  };
}
