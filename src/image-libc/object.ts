import { hash } from 'node:crypto';

import { DETECTOR_VERSION } from '../detection/detector.ts';
import { platformName } from '../detection/platform.ts';
import type { StoredVerdict, StoreKey } from '../detection/verdict-store.ts';
import type { KubeObject, ObjectMeta } from '../kubernetes/objects.ts';
import type { Libc, Verdict } from '../policy/verdict.ts';
import { messageOf, printable } from '../util/text.ts';
import {
  type LibcDetection,
  LibcFieldError,
  type LibcSpec,
  type LibcStatus,
  readLibcSpec,
  readLibcStatus,
} from './spec.ts';

/** What a look-up found, as far as it is kept of an object. Small: there are thousands. */
export interface DetectedLibc {
  readonly kind: 'detected';
  /** {@link referenceKey} of image and platform. */
  readonly reference: string;
  readonly run: string;
  readonly verdict: Verdict;
  readonly digest: string;
  readonly executable: string | undefined;
  readonly decidedBy: 'entrypoint' | 'first-word' | undefined;
  readonly version: number;
  /** Milliseconds since 1970, as are all times here; not in the future. */
  readonly checkedAt: number;
  readonly lastUsedAt: number;
  readonly resourceVersion: string | undefined;
}

/** What a person says. */
export interface DeclaredLibc {
  readonly kind: 'declared';
  readonly name: string;
  /** Canonical. */
  readonly image: string;
  /** Absent: all. */
  readonly platform: string | undefined;
  /** Absent: whatever the command line. */
  readonly run: string | undefined;
  readonly verdict: Verdict;
}

export type HeldLibc = DetectedLibc | DeclaredLibc;

export const referenceKey = (image: string, platform: string): string => `${image} ${platform}`;

const LIBC_OF: Readonly<Record<LibcSpec['resolver'], Libc>> = {
  glibc: 'glibc',
  musl: 'musl',
  go: 'unknown',
  other: 'other',
};

interface ReadOptions {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The canonical name of a reference; throws where it is none. */
  readonly canonical: (reference: string) => string;
  /** For who keeps thousands: equal texts and verdicts become one. */
  readonly shared?: SharedValues;
}

/** What an ImageLibc says, or, as a text, why nothing can be made of it. */
export function readImageLibc({ metadata, ...rest }: KubeObject, options: ReadOptions): HeldLibc | string {
  let said: LibcSpec;
  let seen: LibcStatus;
  try {
    said = readLibcSpec(rest['spec']);
    seen = readLibcStatus(rest['status']);
  } catch (error) {
    if (error instanceof LibcFieldError) return error.message;
    throw error;
  }
  const editor = takenBy(metadata);
  if (said.detection === undefined || editor !== undefined) {
    return declared(metadata.name, said, editor ?? resolverOwner(metadata), options);
  }
  return detected(said, said.detection, seen, { ...options, resourceVersion: metadata.resourceVersion });
}

function declared(
  name: string,
  said: LibcSpec,
  by: string | undefined,
  { canonical }: ReadOptions,
): DeclaredLibc | string {
  const detail = `declared in ImageLibc ${name}${by === undefined ? '' : ` by ${by}`}`;
  try {
    return {
      kind: 'declared',
      name,
      image: canonical(said.image),
      platform: said.platform,
      run: said.detection?.run,
      verdict: {
        resolver: said.resolver,
        libc: said.libc ?? LIBC_OF[said.resolver],
        evidence: { source: 'store', detail, confidence: 1 },
      },
    };
  } catch (error) {
    return `spec.image: ${messageOf(error)}`;
  }
}

function detected(
  { image, platform, resolver, libc, evidence }: LibcSpec,
  detection: LibcDetection,
  { checkedAt, lastUsedAt }: LibcStatus,
  { now, shared = UNSHARED, resourceVersion }: ReadOptions & { readonly resourceVersion: string | undefined },
): DetectedLibc | string {
  if (platform === undefined || libc === undefined) return 'spec.detection without spec.platform or spec.libc';
  if (evidence === undefined || evidence.source === 'declared') return 'spec.detection without spec.evidence.source';
  const { source, detail, confidencePercent } = evidence;
  const seen = latest(now, detection.seenAt, checkedAt);
  return {
    kind: 'detected',
    reference: referenceKey(image, platform),
    run: shared.text(detection.run),
    verdict: shared.verdict({ resolver, libc, evidence: { source, detail, confidence: confidencePercent / 100 } }),
    digest: detection.digest,
    executable: detection.executable === undefined ? undefined : shared.text(detection.executable),
    decidedBy: detection.decidedBy,
    version: detection.detectorVersion,
    checkedAt: seen,
    lastUsedAt: latest(now, seen, lastUsedAt),
    resourceVersion,
  };
}

/** The latest of `times`; what is no time, or in the future, is taken for long ago and for now. */
function latest(now: number, ...times: (number | undefined)[]): number {
  return Math.min(now, Math.max(0, ...times.map((each) => (each === undefined || Number.isNaN(each) ? 0 : each))));
}

/** What the store answers with. */
export function storedVerdict(held: DetectedLibc, platform: StoreKey['platform']): StoredVerdict {
  const { verdict, digest, executable, decidedBy, version, checkedAt } = held;
  return {
    inspection: {
      verdict,
      digest,
      platform,
      ...(executable !== undefined && { executable }),
      ...(decidedBy !== undefined && { decidedBy }),
      ...(version < DETECTOR_VERSION && { outdated: true as const }),
    },
    checkedAt,
  };
}

/** The name of the object for what is found of a key: it stays the same, and says nothing. */
export function imageLibcName({ image, platform, run }: StoreKey): string {
  return hash('sha256', JSON.stringify([image, platformName(platform), run]), 'hex').slice(0, 40);
}

/** Under this name our fields are ours (server-side apply). */
export const FIELD_MANAGER = 'libc-dns-webhook';

/** meta/v1 ManagedFieldsEntry, as far as it is read here. `fieldsV1` nests `f:<name>` keys. */
interface ManagedFields {
  readonly manager?: unknown;
  readonly fieldsV1?: { readonly 'f:spec'?: Readonly<Record<string, unknown>> };
}

interface Owner {
  /** As it is: anybody may choose it. */
  readonly manager: string;
  readonly ownsResolver: boolean;
}

function specOwners(metadata: ObjectMeta): Owner[] {
  const { managedFields } = metadata as ObjectMeta & { readonly managedFields?: unknown };
  if (!Array.isArray(managedFields)) return [];
  const owners: Owner[] = [];
  for (const entry of managedFields as (ManagedFields | null)[]) {
    const spec = entry?.fieldsV1?.['f:spec'];
    if (typeof spec !== 'object' || spec === null || typeof entry?.manager !== 'string') continue;
    owners.push({ manager: entry.manager, ownsResolver: Object.hasOwn(spec, 'f:resolver') });
  }
  return owners;
}

function resolverOwnerOf(owners: readonly Owner[]): string | undefined {
  const manager = owners.find(({ ownsResolver }) => ownsResolver)?.manager;
  return manager === undefined ? undefined : printable(manager, 128);
}

/** Who wrote spec.resolver; undefined where the API server does not say. */
function resolverOwner(metadata: ObjectMeta): string | undefined {
  return resolverOwnerOf(specOwners(metadata));
}

/**
 * Who has put another resolver into an object of ours, by editing it. An object of which we own nothing, such as one that a
 * backup brought back, was not edited: it says what it said.
 */
function takenBy(metadata: ObjectMeta): string | undefined {
  const owners = specOwners(metadata);
  const ours = owners.filter(({ manager }) => manager === FIELD_MANAGER);
  if (ours.length === 0 || ours.some(({ ownsResolver }) => ownsResolver)) return undefined;
  return resolverOwnerOf(owners);
}

/** One copy of what thousands of objects say alike. */
interface SharedValues {
  text(text: string): string;
  verdict(verdict: Verdict): Verdict;
}

const UNSHARED: SharedValues = { text: (text) => text, verdict: (verdict) => verdict };

/** Images of one base say the same by the hundred; what is said once must not push that out for ever, so all begins anew. */
function createPool<T>(most: number): (key: string, value: T) => T {
  const pool = new Map<string, T>();
  return (key, value) => {
    const known = pool.get(key);
    if (known !== undefined) return known;
    if (pool.size >= most) pool.clear();
    pool.set(key, value);
    return value;
  };
}

/** Remembers `most` of each. */
export function createSharedValues(most = 1000): SharedValues {
  const texts = createPool<string>(most);
  const verdicts = createPool<Verdict>(most);
  return {
    text: (text) => texts(text, text),
    verdict(verdict) {
      const { resolver, libc, evidence } = verdict;
      return verdicts([resolver, libc, evidence.source, evidence.confidence, evidence.detail].join(' '), verdict);
    },
  };
}
