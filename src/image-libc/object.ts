import { hash } from 'node:crypto';

import { DETECTOR_VERSION } from '../detection/detector.ts';
import { platformName } from '../detection/platform.ts';
import type { QuarantineEntry, QuarantineSubject, StoredVerdict, StoreKey } from '../detection/verdict-store.ts';
import type { KubeObject, ObjectMeta } from '../kubernetes/objects.ts';
import type { Libc, Verdict } from '../policy/verdict.ts';
import { messageOf, printable } from '../util/text.ts';
import {
  type LibcDetection,
  LibcFieldError,
  type LibcSpec,
  type LibcStatus,
  type QuarantineSpec,
  readLibcSpec,
  readLibcStatus,
} from './spec.ts';

/** The fields that are kept of an ImageLibc that a look-up made. Small, for there are thousands. */
export interface DetectedLibc {
  readonly kind: 'detected';
  /** {@link referenceKey} of image and platform. */
  readonly reference: string;
  readonly run: string;
  readonly verdict: Verdict;
  /** {@link packDigest} of the platform's manifest. */
  readonly digest: string;
  /** {@link packDigest} of the index that the tag named; undefined: none, or nobody has stored it. */
  readonly index: string | undefined;
  readonly executable: string | undefined;
  readonly decidedBy: 'entrypoint' | 'first-word' | undefined;
  readonly version: number;
  /** Milliseconds since 1970, as are all times here; not in the future. */
  readonly checkedAt: number;
  readonly lastUsedAt: number;
  readonly resourceVersion: string | undefined;
}

/** An ImageLibc that a person declared. */
export interface DeclaredLibc {
  readonly kind: 'declared';
  readonly name: string;
  /** The canonical reference. */
  readonly image: string;
  /** Undefined: all platforms. */
  readonly platform: string | undefined;
  /** Undefined: any command line. */
  readonly run: string | undefined;
  readonly verdict: Verdict;
}

/** An image whose reading ended a process. */
export interface QuarantinedLibc extends QuarantineEntry {
  readonly kind: 'quarantined';
  /** {@link referenceKey} of image and platform. */
  readonly reference: string;
  /** Empty: any command line. */
  readonly run: string;
  readonly more: boolean;
  readonly resourceVersion: string | undefined;
}

export type HeldLibc = DetectedLibc | DeclaredLibc | QuarantinedLibc;

const HEX_AT = 'sha256:'.length;

/** Returns a digest of SHA-256 or SHA-512 in half the memory: its bytes, one a character. */
export const packDigest = (digest: string): string => Buffer.from(digest.slice(HEX_AT), 'hex').toString('latin1');

function unpackDigest(packed: string): string {
  const digest = `sha${packed.length * 8}:${Buffer.from(packed, 'latin1').toString('hex')}`;
  // V8 would keep the two parts and the sum.
  return Buffer.from(digest, 'latin1').toString('latin1');
}

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
  /** Returns the canonical name of a reference; throws if it is not one. */
  readonly canonical: (reference: string) => string;
  /** Makes equal texts and verdicts one, to keep thousands of objects small. */
  readonly shared?: SharedValues;
}

/** Reads an ImageLibc; returns a text that says why if it cannot be used. */
export function readImageLibc({ metadata, ...rest }: KubeObject, options: ReadOptions): HeldLibc | string {
  let spec: LibcSpec | QuarantineSpec;
  let status: LibcStatus;
  try {
    spec = readLibcSpec(rest['spec']);
    status = readLibcStatus(rest['status']);
  } catch (error) {
    if (error instanceof LibcFieldError) return error.message;
    throw error;
  }
  if ('quarantine' in spec) return quarantined(spec, metadata.resourceVersion, options.now);
  const editor = editorOf(metadata);
  if (spec.detection === undefined || editor !== undefined) {
    return declared(metadata.name, spec, editor ?? resolverOwner(metadata), options);
  }
  return detected(spec, spec.detection, status, { ...options, resourceVersion: metadata.resourceVersion });
}

function declared(
  name: string,
  spec: LibcSpec,
  by: string | undefined,
  { canonical }: ReadOptions,
): DeclaredLibc | string {
  const detail = `declared in ImageLibc ${name}${by === undefined ? '' : ` by ${by}`}`;
  try {
    return {
      kind: 'declared',
      name,
      image: canonical(spec.image),
      platform: spec.platform,
      run: spec.detection?.run,
      verdict: {
        resolver: spec.resolver,
        libc: spec.libc ?? LIBC_OF[spec.resolver],
        evidence: { source: 'store', detail, confidence: 1 },
      },
    };
  } catch (error) {
    return `spec.image: ${messageOf(error)}`;
  }
}

function detected(
  { image, platform, resolver, libc, evidence, resolvers }: LibcSpec,
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
    verdict: shared.verdict({
      resolver,
      libc,
      evidence: { source, detail, confidence: confidencePercent / 100 },
      ...(resolvers !== undefined && { resolvers }),
    }),
    digest: packDigest(detection.digest),
    index: detection.indexDigest === undefined ? undefined : packDigest(detection.indexDigest),
    executable: detection.executable === undefined ? undefined : shared.text(detection.executable),
    decidedBy: detection.decidedBy,
    version: detection.detectorVersion,
    checkedAt: seen,
    lastUsedAt: latest(now, seen, lastUsedAt),
    resourceVersion,
  };
}

/** The longest time in milliseconds for which an object may keep an image from being read, whatever it says. */
const MOST_QUARANTINE_MS = 24 * 3_600_000;

function quarantined(
  { image, platform, quarantine }: QuarantineSpec,
  resourceVersion: string | undefined,
  now: number,
): QuarantinedLibc {
  const { run = '', seenAt, until, ...rest } = quarantine;
  const reference = referenceKey(image, platform);
  const bounded = latest(now + MOST_QUARANTINE_MS, until);
  return { kind: 'quarantined', ...rest, reference, run, seenAt: latest(now, seenAt), until: bounded, resourceVersion };
}

/** Returns the latest of `times`, but not later than `now`. Missing and invalid times count as 0. */
function latest(now: number, ...times: (number | undefined)[]): number {
  return Math.min(now, Math.max(0, ...times.map((each) => (each === undefined || Number.isNaN(each) ? 0 : each))));
}

/** Returns what the store answers for an object. */
export function storedVerdict(held: DetectedLibc, platform: StoreKey['platform']): StoredVerdict {
  const { verdict, index, executable, decidedBy, version, checkedAt } = held;
  return {
    inspection: {
      verdict,
      digest: unpackDigest(held.digest),
      platform,
      ...(executable !== undefined && { executable }),
      ...(decidedBy !== undefined && { decidedBy }),
      ...(version < DETECTOR_VERSION && { outdated: true as const }),
    },
    checkedAt,
    ...(index !== undefined && { named: unpackDigest(index) }),
  };
}

/** Returns the name of a key's object: a hash, so that it is stable, valid and of bounded length. */
export function imageLibcName({ image, platform, run }: StoreKey): string {
  return hash('sha256', JSON.stringify([image, platformName(platform), run]), 'hex').slice(0, 40);
}

/** Returns the name of the object that says that a reading ended a process: never that of a verdict. */
export function quarantineName({ image, platform, run, more }: QuarantineSubject): string {
  return hash('sha256', JSON.stringify(['quarantine', image, platformName(platform), run, more]), 'hex').slice(0, 40);
}

/** The field manager that owns our fields (server-side apply). */
export const FIELD_MANAGER = 'libc-dns-webhook';

/** The fields of a meta/v1 ManagedFieldsEntry that are read. `fieldsV1` nests `f:<name>` keys. */
interface ManagedFields {
  readonly manager?: unknown;
  readonly fieldsV1?: { readonly 'f:spec'?: Readonly<Record<string, unknown>> };
}

interface Owner {
  /** Unchecked: clients choose it freely. */
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

/** Returns who wrote spec.resolver; undefined if the API server does not say. */
function resolverOwner(metadata: ObjectMeta): string | undefined {
  return resolverOwnerOf(specOwners(metadata));
}

/**
 * Returns who edited the resolver of an object of ours; undefined if nobody did. An object of which we own no field was not
 * edited: a backup may have restored it.
 */
function editorOf(metadata: ObjectMeta): string | undefined {
  const owners = specOwners(metadata);
  const ours = owners.filter(({ manager }) => manager === FIELD_MANAGER);
  if (ours.length === 0 || ours.some(({ ownsResolver }) => ownsResolver)) return undefined;
  return resolverOwnerOf(owners);
}

/** Keeps one copy of each value that thousands of objects share. */
interface SharedValues {
  text(text: string): string;
  verdict(verdict: Verdict): Verdict;
}

const UNSHARED: SharedValues = { text: (text) => text, verdict: (verdict) => verdict };

/** Returns the first of equal values. Clears itself when full: one-off values must not keep out common ones for ever. */
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

/** Remembers at most `most` texts and as many verdicts. */
export function createSharedValues(most = 1000): SharedValues {
  const texts = createPool<string>(most);
  const verdicts = createPool<Verdict>(most);
  return {
    text: (text) => texts(text, text),
    verdict(verdict) {
      const { resolver, libc, evidence, resolvers } = verdict;
      const more = resolvers === undefined ? '' : JSON.stringify(resolvers);
      return verdicts([resolver, libc, evidence.source, evidence.confidence, evidence.detail, more].join(' '), verdict);
    },
  };
}
