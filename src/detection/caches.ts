import { LRUCache } from 'lru-cache';

import type { Clock } from '../util/clock.ts';
import { type Failure, type Inspection, isPassing } from './detector.ts';
import type { ImageManifest } from './image-source.ts';
import { type DetectionKeys, runOf, runsOf, verdictKey } from './keys.ts';

interface VerdictMemoryOptions {
  /** Most verdicts, and most references, that are held. */
  readonly entries: number;
  /** Most bytes that verdicts and references may take, approximately. */
  readonly bytes: number;
  /** Milliseconds for which a tag is taken to stand for the digest it was seen with. */
  readonly tagTtlMs: number;
  readonly clock: Pick<Clock, 'now'>;
}

/** Something remembered. Not `fresh`: right when it was looked up, but the tag may have moved since. */
export interface Remembered {
  readonly inspection: Inspection;
  readonly fresh: boolean;
  /** When the reference was last seen to stand for this image; milliseconds since 1970. */
  readonly checkedAt: number;
}

/**
 * What look-ups found: references to manifest digests, and digests with a command line to verdicts. Logins are no part
 * of the keys: a verdict says which libc a program has, a Pod without access to the image cannot run it anyway, and
 * nodes share pulled images in the same way (imagePullPolicy IfNotPresent).
 */
export interface VerdictMemory {
  find(keys: DetectionKeys): Remembered | undefined;
  /** What is known about a manifest, whichever reference led to it. */
  ofManifest(keys: DetectionKeys, manifestDigest: string): Inspection | undefined;
  /** `checkedAt`: when the reference was seen to stand for the inspection's digest. */
  remember(keys: DetectionKeys, inspection: Inspection, checkedAt: number): void;
  size(): { readonly verdicts: number; readonly references: number; readonly bytes: number };
}

interface Verdict {
  readonly inspection: Inspection;
  readonly until: number;
}

/** The key of a verdict: a hash. */
interface Name {
  readonly run: string;
  readonly key: string;
}

interface Found {
  readonly name: Name;
  readonly inspection: Inspection;
}

interface Resolved {
  readonly digest: string;
  readonly checkedAt: number;
  /** Where the last answer was: most Pods of an image run the same in it. */
  last: Name | undefined;
}

// An entry's objects, its key and its share of the cache's arrays, before the strings that vary. `bench/servers/heap.ts`: 850 to 890
// bytes for a verdict of an ordinary image and its reference, which come to 890 here.
const entryBytes = 250;
const mostEntryBytes = 16 * 1024;

/** With `max` a cache makes its arrays as long at once: a megabyte, in a cluster of a hundred images too. */
function setBounded<T extends object>(cache: LRUCache<string, T>, key: string, value: T, most: number): void {
  cache.set(key, value);
  if (cache.size > most) cache.pop();
}

export function createVerdictMemory({ entries, bytes, tagTtlMs, clock }: VerdictMemoryOptions): VerdictMemory {
  const half = Math.max(1, Math.floor(bytes / 2));
  const limits = { maxSize: half, maxEntrySize: Math.min(half, mostEntryBytes) };
  const verdicts = new LRUCache<string, Verdict>({ ...limits, sizeCalculation: verdictBytes });
  const references = new LRUCache<string, Resolved>({
    ...limits,
    sizeCalculation: ({ digest }) => entryBytes + digest.length,
  });
  const search = (keys: DetectionKeys, digest: string, last?: Name): Found | undefined => {
    for (const run of runsOf(keys)) {
      const name = last?.run === run ? last : { run, key: verdictKey(keys, digest, run) };
      const known = verdicts.get(name.key);
      if (known !== undefined && known.until > clock.now()) return { name, inspection: known.inspection };
    }
    return undefined;
  };
  return {
    ofManifest: (keys, manifestDigest) => search(keys, manifestDigest)?.inspection,
    find(keys) {
      const resolved = references.get(keys.image);
      if (resolved === undefined) return undefined;
      const { digest, checkedAt, last } = resolved;
      const found = search(keys, digest, last);
      if (found === undefined) return undefined;
      resolved.last = found.name;
      return { inspection: found.inspection, checkedAt, fresh: keys.pinned || clock.now() - checkedAt < tagTtlMs };
    },
    remember(keys, inspection, checkedAt) {
      // Bytes alone decide, so `unknown` would be found again; but limits of time and size may have had a part in it.
      const isUnknown = inspection.verdict.resolver === 'unknown';
      const until = isUnknown ? clock.now() + tagTtlMs : Number.POSITIVE_INFINITY;
      const key = verdictKey(keys, inspection.digest, runOf(keys, inspection));
      setBounded(verdicts, key, { inspection, until }, entries);
      // A slow look-up must not undo what a later one saw.
      if ((references.peek(keys.image)?.checkedAt ?? 0) > checkedAt) return;
      setBounded(references, keys.image, { digest: inspection.digest, checkedAt, last: undefined }, entries);
    },
    size: () => ({
      verdicts: verdicts.size,
      references: references.size,
      bytes: verdicts.calculatedSize + references.calculatedSize,
    }),
  };
}

/** Two bytes per character: the most that V8 takes. */
function verdictBytes({ inspection }: Verdict): number {
  const { verdict, digest, executable = '' } = inspection;
  return entryBytes + 2 * (verdict.evidence.detail.length + digest.length + executable.length);
}

/** Whose failure it is: an image's for everyone with these logins, or that of one command line in it. */
interface FailureScope {
  readonly keys: DetectionKeys;
  /** Key of the logins it was met with: others may be let in. */
  readonly login: string;
  /** Absent where the manifest already could not be had: then no command line fares better. */
  readonly run?: string;
}

export interface FailureMemory {
  find(keys: DetectionKeys, login: string): Failure | undefined;
  remember(scope: FailureScope, failure: Failure): void;
  size(): number;
}

interface FailureMemoryOptions {
  readonly entries: number;
  /** Milliseconds for which a failure is not tried again; a sixth of it where the host's state was the cause. */
  readonly failureTtlMs: number;
  readonly clock: Pick<Clock, 'now'>;
}

// What our own load or shutdown caused says nothing about the image.
const notRemembered = new Set<Failure['code']>(['deadline', 'shed', 'disabled']);

/** Remembers failures for a while, so that an image that cannot be read costs a request now and then, not one per Pod. */
export function createFailureMemory({ entries, failureTtlMs, clock }: FailureMemoryOptions): FailureMemory {
  // Entries have a bounded size: three hashes for a key, a message that was cut.
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
      // The registry client keeps Retry-After and a breaker by itself; this only spares the queue.
      const life = isPassing(failure.code) ? failureTtlMs / 6 : failureTtlMs;
      failures.set(failureKey(scope), { ...failure, until: clock.now() + life });
    },
    size: () => failures.size,
  };
}

function failureKey({ keys, login, run = '' }: FailureScope): string {
  return `${keys.image} ${login} ${run}`;
}

interface SeenManifest {
  readonly manifest: ImageManifest;
  /** When the reference was seen to stand for it; milliseconds since 1970. */
  readonly checkedAt: number;
}

/**
 * Manifests of the images that were looked into last. Jobs whose Pods differ in their arguments alone would fetch the same
 * one again and again, and manifests are what Docker Hub counts.
 */
export interface ManifestMemory {
  find(keys: DetectionKeys): SeenManifest | undefined;
  remember(keys: DetectionKeys, seen: SeenManifest): void;
  forget(keys: DetectionKeys): void;
}

const mostManifests = 500;
const mostBytes = 4 * 1024 * 1024;
const mostBytesOfOne = 64 * 1024;

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
    remember(keys, seen) {
      manifests.set(keys.image, seen);
    },
    forget(keys) {
      manifests.delete(keys.image);
    },
  };
}
