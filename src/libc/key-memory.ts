import { LRUCache } from 'lru-cache';

import { imageKeys, runKeys, type DetectionKeys, type ImageKeys } from './detection-keys.ts';
import type { DetectRequest } from './detector.ts';

/** Images that Pods are made of again and again; another's keys are made anew, which costs some 10 us. */
const most = 1000;

/** Characters of reference and platform: what is longer is not held, for whoever creates Pods chooses it. */
const longest = 512;

/**
 * The keys of requests. Those of frequent images are remembered: reading the reference would be most of what a known image costs. Throws
 * what `canonical` throws.
 */
export function createKeyMemory(canonical: (reference: string) => string): (request: DetectRequest) => DetectionKeys {
  const known = new LRUCache<string, ImageKeys>({ max: most });
  const imageOf = ({ reference, platform }: DetectRequest): ImageKeys => {
    const { os, architecture, variant } = platform;
    const name = JSON.stringify([reference, os, architecture, variant]);
    const remembered = known.get(name);
    if (remembered !== undefined) return remembered;
    const keys = imageKeys(platform, canonical(reference));
    if (name.length <= longest) known.set(name, keys);
    return keys;
  };
  return (request) => ({ ...imageOf(request), ...runKeys(request) });
}
