import { LRUCache } from 'lru-cache';
import type { DetectionKeys } from './detection-keys.ts';
import type { ImageManifest } from './image-source.ts';

export interface SeenManifest {
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

export function createManifestMemory(tagTtlMs: number, clock: { now(): number }): ManifestMemory {
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
