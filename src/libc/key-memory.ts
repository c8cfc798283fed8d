import { LRUCache } from 'lru-cache';

import { detectionKeys, type DetectionKeys } from './detection-keys.ts';
import type { DetectRequest } from './detector.ts';

/** Images that Pods are made of again and again; another's keys are made anew, which costs some 10 us. */
const most = 1000;

/** Characters of reference, platform and command line: what is longer is not held, for whoever creates Pods chooses it. */
const longest = 512;

/**
 * The keys of requests. Those of frequent ones are remembered: reading the reference and making the hashes would be most of
 * what a known image costs. Throws what `canonical` throws.
 */
export function createKeyMemory(canonical: (reference: string) => string): (request: DetectRequest) => DetectionKeys {
  const known = new LRUCache<string, DetectionKeys>({ max: most });
  return (request) => {
    const { reference, platform, command, args } = request;
    const { os, architecture, variant } = platform;
    const name = JSON.stringify([reference, os, architecture, variant, command, args]);
    const remembered = known.get(name);
    if (remembered !== undefined) return remembered;
    const keys = detectionKeys(request, canonical(reference));
    if (name.length <= longest) known.set(name, keys);
    return keys;
  };
}
