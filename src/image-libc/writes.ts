import { DETECTOR_VERSION } from '../detection/detector.ts';
import { platformName } from '../detection/platform.ts';
import type { StoredVerdict, StoreKey } from '../detection/verdict-store.ts';
import type { KubeRequest } from '../kubernetes/client.ts';
import { resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { type DetectedLibc, FIELD_MANAGER, type HeldLibc, imageLibcName, referenceKey } from './object.ts';

/** Command lines of one reference that are stored: Jobs may come with another one each. */
const MOST_RUNS = 16;

export interface PlanState {
  /** What is held under a name. */
  held(name: string): HeldLibc | undefined;
  /** Objects of a reference, and in all, those that we have written just now included. */
  count(reference: string): { readonly runs: number; readonly all: number };
  readonly synced: boolean;
}

interface PlanLimits {
  /** Most objects. */
  readonly most: number;
  /** Milliseconds by which a tag's check has to be newer than the stored one to be written. */
  readonly recheckMs: number;
  /** Milliseconds by which a use has to be later than the stored one to be written. */
  readonly reuseMs: number;
}

export interface WritePlan {
  readonly kind: 'verdict' | 'use';
  readonly request: KubeRequest;
}

/**
 * What has to be written of a verdict that was found or used at `now`; undefined: nothing. Little is: the verdict once, its
 * last use and its tag's last check coarsely.
 */
export function planPut(
  key: StoreKey,
  verdict: StoredVerdict,
  state: PlanState,
  { now, ...limits }: PlanLimits & { readonly now: number },
): WritePlan | undefined {
  if (!state.synced) return undefined;
  const name = imageLibcName(key);
  const held = state.held(name);
  if (held?.kind === 'declared') return undefined;
  if (held !== undefined && !isBetter(verdict, held)) return planUse(name, verdict, held, { now, ...limits });
  // What older rules found is not to look like what ours did.
  if (verdict.inspection.outdated === true) return undefined;
  if (held === undefined) {
    const { runs, all } = state.count(referenceKey(key.image, platformName(key.platform)));
    if (runs >= MOST_RUNS || all >= limits.most) return undefined;
  }
  return { kind: 'verdict', request: applyVerdict(key, verdict) };
}

/** Whether a verdict says more than the one that is held. */
function isBetter({ inspection, checkedAt }: StoredVerdict, held: DetectedLibc): boolean {
  if (inspection.digest !== held.digest) return checkedAt > held.checkedAt;
  if (inspection.outdated === true || held.version > DETECTOR_VERSION) return false;
  if (held.version < DETECTOR_VERSION) return true;
  const [ours, theirs] = [inspection.verdict.evidence.confidence, held.verdict.evidence.confidence];
  // The stored one is in whole percents.
  return ours > theirs + 0.005;
}

function planUse(
  name: string,
  { inspection, checkedAt }: StoredVerdict,
  held: DetectedLibc,
  { recheckMs, reuseMs, now }: PlanLimits & { readonly now: number },
): WritePlan | undefined {
  const isSame = inspection.digest === held.digest;
  const checked = isSame ? Math.min(now, Math.max(checkedAt, held.checkedAt)) : held.checkedAt;
  if (checked - held.checkedAt < recheckMs && now - held.lastUsedAt < reuseMs) return undefined;
  return { kind: 'use', request: applyUse(name, { checkedAt: checked, lastUsedAt: now }) };
}

/** The deletion of what is held under a name, if it is still such that `isToGo`. */
export function planDelete(
  name: string,
  state: PlanState,
  isToGo: (held: DetectedLibc) => boolean,
): KubeRequest | undefined {
  const held = state.held(name);
  if (held?.kind !== 'detected' || held.resourceVersion === undefined || !isToGo(held)) return undefined;
  return deleteUnchanged(name, held.resourceVersion);
}

/** Below this share of `most` there is room again. */
const ROOMY = 0.9;

interface Unused {
  readonly name: string;
  readonly lastUsedAt: number;
}

/** The objects that nobody has used for long, and, where there are too many, those used longest ago; these first. */
export function expired(
  items: ReadonlyMap<string, HeldLibc>,
  { most, expireMs, now }: { readonly most: number; readonly expireMs: number; readonly now: number },
): Unused[] {
  const found = [...items].flatMap(([name, held]) =>
    held.kind === 'detected' ? [{ name, lastUsedAt: held.lastUsedAt }] : [],
  );
  const byUse = found.toSorted((a, b) => a.lastUsedAt - b.lastUsedAt);
  const tooMany = byUse.length >= most ? byUse.length - Math.floor(most * ROOMY) : 0;
  return byUse.filter(({ lastUsedAt }, place) => place < tooMany || now - lastUsedAt >= expireMs);
}

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
function applyUse(name: string, use: { readonly checkedAt: number; readonly lastUsedAt: number }): KubeRequest {
  const { checkedAt, lastUsedAt } = use;
  const status = { checkedAt: secondsOf(checkedAt), lastUsedAt: secondsOf(lastUsedAt) };
  return apply(name, { status }, '/status');
}

/** Deletes the object as it was seen: somebody may have used or edited it since. */
function deleteUnchanged(name: string, resourceVersion: string): KubeRequest {
  return {
    method: 'DELETE',
    path: resourcePath(RESOURCES.imageLibcs, name),
    body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } },
    timeoutMs: 5000,
  };
}
