import { createHmac, hash } from 'node:crypto';

import { LRUCache } from 'lru-cache';

import type { ContainerRun, DetectRequest, Inspection, Logins } from './detector.ts';
import type { Platform } from './image-source.ts';

/** The names of a request's image. */
interface ImageKeys {
  readonly canonical: string;
  /** The reference for a platform. */
  readonly image: string;
  /** Registry and repository, without tag and digest. */
  readonly repository: string;
  /** The reference names a digest: what it stands for never changes. */
  readonly pinned: boolean;
}

/** The names of what a request's Pod runs in it. */
interface RunKeys {
  /** The Pod's own command, args and env. */
  readonly run: string;
  /** Whatever the Pod's args; absent where its command stands in for the Entrypoint. */
  readonly runOfEntrypoint?: string;
  /** The first of the Pod's own words, whatever the others; absent where it has none. */
  readonly runOfFirstWord?: string;
}

/** The names under which one request's answers are remembered. Hashes: whoever creates Pods chooses what goes in. */
export interface DetectionKeys extends ImageKeys, RunKeys {}

const digestSuffix = /@sha(?:256|512):[0-9a-f]+$/u;
const tagSuffix = /:[^:/]*$/u;
const noWords = digestOf([[], []]);
const anyArguments = digestOf(['entrypoint']);

/** The keys of an image of this canonical name. */
export function imageKeys({ os, architecture, variant }: Platform, canonical: string): ImageKeys {
  const pinned = digestSuffix.test(canonical);
  return {
    canonical,
    image: digestOf([canonical, os, architecture, variant ?? '']),
    repository: canonical.replace(pinned ? digestSuffix : tagSuffix, ''),
    pinned,
  };
}

/** Returns the keys of a container's runs. Each holds the environment, which may choose a Go program's resolver. */
export function runKeys({ command, args, env }: ContainerRun): RunKeys {
  const [word] = command.length > 0 ? command : args;
  const more = env === undefined ? [] : [env];
  return {
    run: word === undefined && env === undefined ? noWords : digestOf([command, args, ...more]),
    ...(command.length === 0 && {
      runOfEntrypoint: env === undefined ? anyArguments : digestOf(['entrypoint', env]),
    }),
    ...(word !== undefined && { runOfFirstWord: digestOf([command.length > 0 ? 'command' : 'args', word, ...more]) }),
  };
}

/** Under which of a request's runs an inspection is remembered: Jobs often differ in arguments that decide nothing. */
export function runOf(keys: DetectionKeys, { decidedBy }: Inspection): string {
  if (decidedBy === 'entrypoint') return keys.runOfEntrypoint ?? keys.run;
  return decidedBy === 'first-word' ? (keys.runOfFirstWord ?? keys.run) : keys.run;
}

/** Every run under which an answer to this request may be remembered. */
export function runsOf({ run, runOfEntrypoint, runOfFirstWord }: DetectionKeys): readonly string[] {
  return [runOfEntrypoint, runOfFirstWord, run].filter((key) => key !== undefined);
}

/**
 * The key of what a manifest's program was found to be. The repository is part of it although the digest says all: layers
 * are read in part, so their own digests stay unchecked, and a registry that serves another's manifest with layers
 * of its making must not answer for that other registry's images.
 */
export function verdictKey({ repository }: DetectionKeys, manifestDigest: string, run: string): string {
  return digestOf([repository, manifestDigest, run]);
}

/** The reference that names a request's image by the digest of its manifest. */
export function pinnedName({ repository }: DetectionKeys, manifestDigest: string): string {
  return `${repository}@${manifestDigest}`;
}

/** The key of a set of logins, empty for none. `secret` makes it worthless to who reads the memory of keys. */
export function loginKey(credentials: Logins | undefined, secret: Uint8Array): string {
  if (credentials === undefined || credentials.length === 0) return '';
  const words = credentials.map(({ host, credential }) => [
    host,
    credential.username,
    credential.password,
    credential.identityToken ?? null,
    credential.registryToken ?? null,
  ]);
  return createHmac('sha256', secret).update(JSON.stringify(words)).digest('base64');
}

function digestOf(parts: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(parts), 'base64');
}

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
