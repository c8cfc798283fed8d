import { DETECTOR_VERSION } from '../detection/detector.ts';
import { platformName } from '../detection/platform.ts';
import { quarantineText } from '../detection/reader/quarantine.ts';
import type { QuarantineEntry, QuarantineSubject, StoredVerdict, StoreKey } from '../detection/verdict-store.ts';
import type { Candidate } from '../policy/verdict.ts';
import { isDigest, MOST_CANDIDATES } from './spec.ts';
import type { KubeRequest } from '../kubernetes/client.ts';
import { resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { isoTime } from '../util/text.ts';
import {
  type DetectedLibc,
  FIELD_MANAGER,
  type HeldLibc,
  imageLibcName,
  packDigest,
  quarantineName,
  referenceKey,
  storedVerdict,
} from './object.ts';

/** Most command lines of one reference that are stored: each Job may have another one. */
const MOST_RUNS = 16;

export interface PlanState {
  /** Returns the object of this name. */
  held(name: string): HeldLibc | undefined;
  /** Returns the number of objects of a reference and of all objects, including those that are being written. */
  count(reference: string): { readonly runs: number; readonly all: number };
  /** Returns the verdict of the reference whose tag was checked last, for any command line. */
  newest(reference: string): Pick<DetectedLibc, 'digest' | 'checkedAt'> | undefined;
  readonly synced: boolean;
}

interface PlanLimits {
  /** Most objects. */
  readonly most: number;
  /** Milliseconds: a newer use is written only if it is this much later than the stored one. */
  readonly reuseMs: number;
}

export interface WritePlan {
  readonly kind: 'verdict' | 'use';
  readonly request: KubeRequest;
}

/**
 * Returns what has to be written for a verdict that was found or used at `now`; undefined: nothing. Writes are rare: the
 * verdict once, its last use at long intervals. That a tag has not moved is written along: alone it would spare other replicas
 * a HEAD.
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
  if (held !== undefined && held.kind !== 'detected') return undefined;
  if (held !== undefined && !isBetter(verdict, held)) return planUse(key, verdict, held, state, { now, ...limits });
  // A write would mark the verdict of older rules as made by the current ones.
  if (verdict.inspection.outdated === true) return undefined;
  if (held === undefined && !hasRoom(key, state, limits.most)) return undefined;
  return { kind: 'verdict', request: applyVerdict(key, verdict) };
}

/** Reports whether one more object about an image may be written. */
function hasRoom({ image, platform }: Pick<StoreKey, 'image' | 'platform'>, state: PlanState, most: number): boolean {
  const { runs, all } = state.count(referenceKey(image, platformName(platform)));
  return runs < MOST_RUNS && all < most;
}

/** Returns what has to be written for a reading that ended a process; undefined: nothing. */
export function planQuarantine(
  subject: QuarantineSubject,
  entry: QuarantineEntry,
  state: PlanState,
  { most }: Pick<PlanLimits, 'most'>,
): KubeRequest | undefined {
  if (!state.synced) return undefined;
  const held = state.held(quarantineName(subject));
  const isDue =
    held === undefined ? hasRoom(subject, state, most) : held.kind === 'quarantined' && held.seenAt <= entry.seenAt;
  return isDue ? applyQuarantine(subject, entry) : undefined;
}

/** Reports whether a verdict is better than the stored one. */
function isBetter({ inspection, checkedAt }: StoredVerdict, held: DetectedLibc): boolean {
  if (packDigest(inspection.digest) !== held.digest) return checkedAt > held.checkedAt;
  if (inspection.outdated === true || held.version > DETECTOR_VERSION) return false;
  if (held.version < DETECTOR_VERSION) return true;
  const [ours, theirs] = [inspection.verdict.evidence.confidence, held.verdict.evidence.confidence];
  // The stored confidence is rounded to whole percents.
  return ours > theirs + 0.005;
}

function planUse(
  key: StoreKey,
  verdict: StoredVerdict,
  held: DetectedLibc,
  state: PlanState,
  { reuseMs, now }: PlanLimits & { readonly now: number },
): WritePlan | undefined {
  const { inspection, checkedAt, named } = verdict;
  const isSame = packDigest(inspection.digest) === held.digest;
  if (isSame && bringsIndex(verdict, held) && now - held.checkedAt >= reuseMs) {
    const stored = storedVerdict(held, key.platform);
    return { kind: 'use', request: applyVerdict(key, { ...stored, named, checkedAt: Math.min(now, checkedAt) }) };
  }
  const checked = isSame ? Math.min(now, Math.max(checkedAt, held.checkedAt)) : held.checkedAt;
  // The tag stands for this digest again: until that is written, the other one counts for all command lines.
  const { digest = held.digest, checkedAt: otherAt = 0 } = state.newest(held.reference) ?? {};
  const isBack = isSame && digest !== held.digest && checked > otherAt;
  if (!isBack && now - held.lastUsedAt < reuseMs) return undefined;
  return { kind: 'use', request: applyUse(imageLibcName(key), { checkedAt: checked, lastUsedAt: now }) };
}

/**
 * Reports whether the tag was seen since to name another index, which lists the same manifest. It is written in the place of a
 * use, so that objects of an older version cause no writes of their own; the time of the check counts as the use.
 */
function bringsIndex({ inspection, checkedAt, named }: StoredVerdict, held: DetectedLibc): boolean {
  if (named === undefined || checkedAt <= held.checkedAt || held.version !== DETECTOR_VERSION) return false;
  return held.index !== (named === inspection.digest ? undefined : packDigest(named));
}

/** An object that the webhook has written, and may delete. */
export type OwnLibc = Exclude<HeldLibc, { kind: 'declared' }>;

/** Returns when an object was last of use. */
export const lastUsed = (held: OwnLibc): number => (held.kind === 'detected' ? held.lastUsedAt : held.seenAt);

/** Returns the deletion of an object if `shouldDelete` still holds for it. */
export function planDelete(
  name: string,
  state: PlanState,
  shouldDelete: (held: OwnLibc) => boolean,
): KubeRequest | undefined {
  const held = state.held(name);
  if (held === undefined || held.kind === 'declared' || held.resourceVersion === undefined || !shouldDelete(held))
    return undefined;
  return deleteUnchanged(name, held.resourceVersion);
}

/** When there are too many objects, deletions leave this share of `most`. */
const KEPT_SHARE = 0.9;

interface Unused {
  readonly name: string;
  readonly lastUsedAt: number;
}

/** Returns unused objects and, if there are too many, the least recently used ones; least recently used first. */
export function expired(
  items: ReadonlyMap<string, HeldLibc>,
  { most, expireMs, now }: { readonly most: number; readonly expireMs: number; readonly now: number },
): Unused[] {
  const found = [...items].flatMap(([name, held]) =>
    held.kind === 'declared' ? [] : [{ name, lastUsedAt: lastUsed(held) }],
  );
  const byUse = found.toSorted((a, b) => a.lastUsedAt - b.lastUsedAt);
  const tooMany = byUse.length >= most ? byUse.length - Math.floor(most * KEPT_SHARE) : 0;
  return byUse.filter(({ lastUsedAt }, place) => place < tooMany || now - lastUsedAt >= expireMs);
}

const MOST_DETAIL = 1000;
const SOURCES: ReadonlySet<string> = new Set(['executable', 'base-layer', 'history', 'label']);

/** Reports whether image and platform fit the schema. Pods choose references and, by their nodeSelector, platforms. */
export function isNameable({ image, platform }: Pick<StoreKey, 'image' | 'platform'>): boolean {
  const name = platformName(platform);
  return image.length <= 1024 && name.length <= 64 && /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/u.test(name);
}

/** Reports whether a verdict fits the schema. */
export function isStorable(key: StoreKey, { inspection, named }: StoredVerdict): boolean {
  const { verdict, digest, executable = '' } = inspection;
  return (
    isNameable(key) &&
    executable.length <= 4096 &&
    isDigest(digest) &&
    isDigest(named ?? digest) &&
    verdict.resolver !== 'unknown' &&
    (verdict.resolvers ?? []).length <= MOST_CANDIDATES &&
    (verdict.resolvers ?? []).every((one) => (one.executable ?? '').length <= 4096) &&
    SOURCES.has(verdict.evidence.source)
  );
}

/** Applies without force: fields that somebody else has set stay as they are (kubernetes.io: server-side apply, conflicts). */
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

const percent = (confidence: number): number => Math.round(confidence * 100);

const candidateFields = ({ resolver, libc, executable, evidence }: Candidate): object => ({
  resolver,
  libc,
  ...(executable !== undefined && { executable }),
  source: evidence.source,
  detail: evidence.detail.slice(0, MOST_DETAIL),
  confidencePercent: percent(evidence.confidence),
});

/** Returns the request that writes a verdict of the current detector. */
export function applyVerdict(key: StoreKey, { inspection, checkedAt, named }: StoredVerdict): KubeRequest {
  const { verdict, digest, executable, decidedBy } = inspection;
  const { source, detail, confidence } = verdict.evidence;
  return apply(imageLibcName(key), {
    spec: {
      image: key.image,
      platform: platformName(key.platform),
      resolver: verdict.resolver,
      libc: verdict.libc,
      evidence: { source, detail: detail.slice(0, MOST_DETAIL), confidencePercent: percent(confidence) },
      ...(verdict.resolvers !== undefined && { resolvers: verdict.resolvers.map(candidateFields) }),
      detection: {
        digest,
        ...(named !== undefined && named !== digest && { indexDigest: named }),
        run: key.run,
        ...(decidedBy !== undefined && { decidedBy }),
        ...(executable !== undefined && { executable }),
        detectorVersion: DETECTOR_VERSION,
        seenAt: isoTime(checkedAt),
      },
    },
  });
}

/** Returns the request that writes that a reading ended a process. */
function applyQuarantine(subject: QuarantineSubject, entry: QuarantineEntry): KubeRequest {
  const { image, platform, run, more } = subject;
  const { ends, cause, seenAt, until } = entry;
  return apply(quarantineName(subject), {
    spec: {
      image,
      platform: platformName(platform),
      resolver: 'unknown',
      evidence: { source: 'quarantine' },
      quarantine: {
        ...(run !== '' && { run }),
        ...(more && { more }),
        ends,
        cause,
        seenAt: isoTime(seenAt),
        until: isoTime(until),
        message: quarantineText(entry),
      },
    },
  });
}

/** Returns the request that writes when an object was last used and its tag last checked; milliseconds since 1970. */
function applyUse(name: string, use: { readonly checkedAt: number; readonly lastUsedAt: number }): KubeRequest {
  const { checkedAt, lastUsedAt } = use;
  const status = { checkedAt: isoTime(checkedAt), lastUsedAt: isoTime(lastUsedAt) };
  return apply(name, { status }, '/status');
}

/** Deletes an object only if it is unchanged: somebody may have used or edited it meanwhile. */
function deleteUnchanged(name: string, resourceVersion: string): KubeRequest {
  return {
    method: 'DELETE',
    path: resourcePath(RESOURCES.imageLibcs, name),
    body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } },
    timeoutMs: 5000,
  };
}
