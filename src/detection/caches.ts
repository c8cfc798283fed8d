import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import { type Failure, type Inspection, isPassing } from './detector.ts';
import type { ImageManifest, SeenTag } from './image-source.ts';
import { type DetectionKeys, type ImageKeys, runOf, runsOf, verdictKey } from './keys.ts';

interface VerdictMemoryOptions {
  /** Most verdicts, and most references. */
  readonly entries: number;
  /** Most bytes that verdicts and references may take, approximately. */
  readonly bytes: number;
  /** Milliseconds for which a tag is assumed to stand for the digest it was last seen with. */
  readonly tagTtlMs: number;
  readonly clock: Pick<Clock, 'now'>;
}

/** What the verdict memory knows of a request. */
export interface Remembered {
  readonly inspection: Inspection;
  /** False once the tag is older than its TTL: it may have moved since. */
  readonly fresh: boolean;
  /** When the reference was last seen to stand for this image; milliseconds since 1970. */
  readonly checkedAt: number;
  /** Digest of what the reference named then; see {@link SeenTag}. Undefined if nobody knows. */
  readonly named: string | undefined;
}

/**
 * Remembers what look-ups found: from reference to manifest digest, and from digest and command line to verdict. Logins are
 * not part of the keys: a verdict says which libc a program has, a Pod without access to the image cannot run it anyway,
 * and nodes share pulled images in the same way (imagePullPolicy IfNotPresent).
 */
export interface VerdictMemory {
  find(keys: DetectionKeys): Remembered | undefined;
  /** Returns what is known about a manifest, whichever reference led to it. */
  ofManifest(keys: DetectionKeys, manifestDigest: string): Inspection | undefined;
  /**
   * Returns what the reference was last seen to stand for, if the verdict is known. Takes it for the reference of a single image
   * until a look-up has seen its index, here or in another replica.
   */
  seenTag(keys: DetectionKeys): SeenTag | undefined;
  /** `checkedAt`: when the reference was seen to stand for the inspection's digest. `named`: see {@link SeenTag}. */
  remember(keys: DetectionKeys, inspection: Inspection, checkedAt: number, named?: string): void;
  size(): { readonly verdicts: number; readonly references: number; readonly bytes: number };
}

interface KeptVerdict {
  readonly inspection: Inspection;
  readonly until: number;
}

/** A run key, and the key of the verdict that was found with it. */
interface RunVerdictKey {
  readonly run: string;
  readonly key: string;
}

interface Found {
  readonly keyPair: RunVerdictKey;
  readonly inspection: Inspection;
}

interface Resolved {
  readonly digest: string;
  readonly named: string | undefined;
  readonly checkedAt: number;
  /** Where the last verdict was found: most Pods of an image run the same command. */
  last: RunVerdictKey | undefined;
}

// An entry's objects, its key and its share of the cache's arrays, without the strings that vary in length. `bench/servers/heap.ts`
// measures 850 to 890 bytes for a verdict of an ordinary image and its reference; this estimate gives 890.
const entryBytes = 250;
const mostEntryBytes = 16 * 1024;

/** Bounds the entries without `max`, for which a cache allocates its arrays at once: a megabyte even in a small cluster. */
function setBounded<T extends object>(cache: LRUCache<string, T>, key: string, value: T, most: number): void {
  cache.set(key, value);
  if (cache.size > most) cache.pop();
}

export function createVerdictMemory({ entries, bytes, tagTtlMs, clock }: VerdictMemoryOptions): VerdictMemory {
  const half = Math.max(1, Math.floor(bytes / 2));
  const limits = { maxSize: half, maxEntrySize: Math.min(half, mostEntryBytes) };
  const verdicts = new LRUCache<string, KeptVerdict>({ ...limits, sizeCalculation: verdictBytes });
  const references = new LRUCache<string, Resolved>({
    ...limits,
    sizeCalculation: ({ digest, named = '' }) => entryBytes + digest.length + named.length,
  });
  const search = (keys: DetectionKeys, digest: string, last?: RunVerdictKey): Found | undefined => {
    for (const run of runsOf(keys)) {
      const keyPair = last?.run === run ? last : { run, key: verdictKey(keys, digest, run) };
      const known = verdicts.get(keyPair.key);
      if (known !== undefined && known.until > clock.now()) return { keyPair, inspection: known.inspection };
    }
    return undefined;
  };
  return {
    ofManifest: (keys, manifestDigest) => search(keys, manifestDigest)?.inspection,
    find(keys) {
      const resolved = references.get(keys.image);
      if (resolved === undefined) return undefined;
      const { digest, named, checkedAt, last } = resolved;
      const found = search(keys, digest, last);
      if (found === undefined) return undefined;
      resolved.last = found.keyPair;
      return {
        inspection: found.inspection,
        checkedAt,
        named,
        fresh: keys.pinned || clock.now() - checkedAt < tagTtlMs,
      };
    },
    seenTag(keys) {
      const { digest, named = digest } = references.peek(keys.image) ?? {};
      if (digest === undefined || named === undefined || keys.pinned) return undefined;
      return search(keys, digest) === undefined ? undefined : { digest, named };
    },
    remember(keys, inspection, checkedAt, named) {
      // The same bytes give the same verdict, but `unknown` may come from a limit of time or size: try it again later.
      const isUnknown = inspection.verdict.resolver === 'unknown';
      const until = isUnknown ? clock.now() + tagTtlMs : Number.POSITIVE_INFINITY;
      const key = verdictKey(keys, inspection.digest, runOf(keys, inspection));
      setBounded(verdicts, key, { inspection, until }, entries);
      // A slow look-up must not overwrite what a later one saw.
      const before = references.peek(keys.image);
      if ((before?.checkedAt ?? 0) > checkedAt) return;
      const { digest } = inspection;
      // An index never lists another manifest than it did: what another replica saw leaves this true.
      const index = named ?? (before?.digest === digest ? before.named : undefined);
      setBounded(references, keys.image, { digest, named: index, checkedAt, last: undefined }, entries);
    },
    size: () => ({
      verdicts: verdicts.size,
      references: references.size,
      bytes: verdicts.calculatedSize + references.calculatedSize,
    }),
  };
}

/** Counts two bytes per character, the most that V8 takes. */
function verdictBytes({ inspection }: KeptVerdict): number {
  const { verdict, digest, executable = '' } = inspection;
  return entryBytes + 2 * (verdict.evidence.detail.length + digest.length + executable.length);
}

/** What failed: the image for everyone with these logins, or one command line in it. */
interface FailureScope {
  readonly keys: DetectionKeys;
  /** Key of the logins that were used: others may have access. */
  readonly login: string;
  /** Absent if the manifest itself could not be read: then every command line fails. */
  readonly run?: string;
}

export interface FailureMemory {
  find(keys: DetectionKeys, login: string): Failure | undefined;
  remember(scope: FailureScope, failure: Failure): void;
  size(): number;
}

interface FailureMemoryOptions {
  readonly entries: number;
  /** Milliseconds for which a failure is not tried again; a sixth of it if the host's state was the cause. */
  readonly failureTtlMs: number;
  readonly clock: Pick<Clock, 'now'>;
}

// Our own load, deadlines and shutdown say nothing about the image.
const notRemembered = new Set<Failure['code']>(['deadline', 'shed', 'disabled']);

/** Remembers failures for a while: an image that cannot be read then costs a request now and then, not one per Pod. */
export function createFailureMemory({ entries, failureTtlMs, clock }: FailureMemoryOptions): FailureMemory {
  // Counting entries is enough, for their size is bounded: three hashes as key, and a message that was cut.
  const failures = new LRUCache<string, Failure & { readonly until: number }>({ max: entries });
  const get = (key: string): Failure | undefined => {
    const known = failures.get(key);
    return known !== undefined && known.until > clock.now() ? known : undefined;
  };
  return {
    find(keys, login) {
      const known = get(failureKey({ keys, login })) ?? get(failureKey({ keys, login, run: keys.run }));
      return known === undefined ? undefined : { code: known.code, message: known.message };
    },
    remember(scope, failure) {
      if (notRemembered.has(failure.code)) return;
      // The registry client honours Retry-After and has a breaker of its own; this only keeps the queue short.
      const life = isPassing(failure.code) ? failureTtlMs / 6 : failureTtlMs;
      failures.set(failureKey(scope), { ...failure, until: clock.now() + life });
    },
    size: () => failures.size,
  };
}

function failureKey({ keys, login, run = '' }: FailureScope): string {
  return `${keys.image} ${login} ${run}`;
}

export interface SeenManifest {
  readonly manifest: ImageManifest;
  /** When the reference was seen to stand for this manifest; milliseconds since 1970. */
  readonly checkedAt: number;
}

/**
 * Remembers the manifests of recently inspected images. Jobs whose Pods differ only in their arguments would fetch the same
 * manifest again and again, and manifests are what Docker Hub counts.
 */
export interface ManifestMemory {
  find(keys: ImageKeys): SeenManifest | undefined;
  /** Returns what is remembered, however long ago it was seen. */
  peek(keys: ImageKeys): SeenManifest | undefined;
  remember(keys: ImageKeys, seen: SeenManifest): void;
  forget(keys: ImageKeys): void;
}

const mostManifests = 500;
const mostBytes = 4 * 1024 * 1024;
const mostBytesOfOne = 64 * 1024;

/** `tagTtlMs`: milliseconds for which a tag is assumed to stand for the same manifest. */
export function createManifestMemory(tagTtlMs: number, clock: Pick<Clock, 'now'>): ManifestMemory {
  const manifests = new LRUCache<string, SeenManifest>({
    max: mostManifests,
    maxSize: mostBytes,
    maxEntrySize: mostBytesOfOne,
    sizeCalculation: ({ manifest }) => 1000 + 2 * JSON.stringify(manifest).length,
  });
  return {
    find(keys) {
      const seen = manifests.get(keys.image);
      return seen !== undefined && (keys.pinned || clock.now() - seen.checkedAt < tagTtlMs) ? seen : undefined;
    },
    peek: (keys) => manifests.peek(keys.image),
    remember(keys, seen) {
      manifests.set(keys.image, seen);
    },
    forget(keys) {
      manifests.delete(keys.image);
    },
  };
}
