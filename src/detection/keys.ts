import { createHmac, hash } from 'node:crypto';

import { LRUCache } from 'lru-cache';

import type { ContainerRun, DetectRequest, Inspection, Logins } from './detector.ts';
import type { Platform } from './image-source.ts';

/** The keys of a request's image. */
export interface ImageKeys {
  /** The canonical name, in plain text. */
  readonly canonical: string;
  /** Hash of the canonical name and the platform. */
  readonly image: string;
  /** Registry and repository, without tag and digest, in plain text. */
  readonly repository: string;
  /** Whether the reference names a digest, and so always stands for the same image. */
  readonly pinned: boolean;
}

/** The keys of a Pod's command line, as hashes. */
interface RunKeys {
  /** Of the Pod's own command, args and env. */
  readonly run: string;
  /** Of the image's Entrypoint, with any args; absent if the Pod's command replaces the Entrypoint. */
  readonly runOfEntrypoint?: string;
  /** Of the first of the Pod's own words, with any others; absent if the Pod has none. */
  readonly runOfFirstWord?: string;
}

/** The keys under which one request's answers are remembered. Hashes bound their length, for Pods choose what goes in. */
export interface DetectionKeys extends ImageKeys, RunKeys {}

const digestSuffix = /@sha(?:256|512):[0-9a-f]+$/u;
const tagSuffix = /:[^:/]*$/u;
const noWords = digestOf([[], []]);
const anyArguments = digestOf(['entrypoint']);

/** Returns the keys of an image by its canonical name. */
export function imageKeys({ os, architecture, variant }: Platform, canonical: string): ImageKeys {
  const pinned = digestSuffix.test(canonical);
  return {
    canonical,
    image: digestOf([canonical, os, architecture, variant ?? '']),
    repository: canonical.replace(pinned ? digestSuffix : tagSuffix, ''),
    pinned,
  };
}

/**
 * Returns the keys of a container's runs. Each holds what may choose the program or its resolver, where a word alone names the
 * program: some variables, the working directory, and the mounts that may lie over it.
 */
export function runKeys(run: ContainerRun): RunKeys {
  const { command, args } = run;
  const [word] = command.length > 0 ? command : args;
  const all = besidesWords(run);
  const alone = besidesOneWord(run);
  return {
    run: word === undefined && all.length === 0 ? noWords : digestOf([command, args, ...all]),
    ...(command.length === 0 && {
      runOfEntrypoint: alone.length === 0 ? anyArguments : digestOf(['entrypoint', ...alone]),
    }),
    ...(word !== undefined && { runOfFirstWord: digestOf([command.length > 0 ? 'command' : 'args', word, ...alone]) }),
  };
}

const besidesWords = ({ env, envElsewhere, envFrom, mounts, user, workingDir }: ContainerRun): readonly unknown[] =>
  given({ env, envElsewhere, envFrom, mounts, user, workingDir });

const besidesOneWord = ({ env, mounts, workingDir }: ContainerRun): readonly unknown[] =>
  given({ env: variablesOf(env), mounts: mountsOf(mounts), workingDir });

/** Reports whether a container has nothing of its own: all is the image's. */
export const isBare = (run: ContainerRun): boolean =>
  run.command.length === 0 && run.args.length === 0 && besidesWords(run).length === 0;

/** Reports whether nothing but its words counts for a verdict that a word alone decides. */
export const isAlone = (run: ContainerRun): boolean => besidesOneWord(run).length === 0;

function given(fields: object): readonly unknown[] {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined);
  return set.length === 0 ? [] : [set];
}

// Variables that choose a Go program's resolver (net/conf.go), and PATH.
const variablesRead = ['GODEBUG', 'HOSTALIASES', 'LOCALDOMAIN', 'RES_OPTIONS', 'PATH'];
// What is mounted there lies over no program that an image's words name.
const dataFolders = /^\/(?:etc|var|data|tmp|run|mnt|proc|sys|dev|config|secrets?)(?:\/|$)/u;

/** Reports whether a path is in a folder of data, which volumes often lie over. */
export const isDataFolder = (path: string): boolean => dataFolders.test(path);

function variablesOf(env: ContainerRun['env'] = {}): ContainerRun['env'] {
  const variables = Object.entries(env).filter(([name]) => variablesRead.includes(name));
  return variables.length === 0 ? undefined : Object.fromEntries(variables);
}

function mountsOf(mounts: ContainerRun['mounts'] = []): ContainerRun['mounts'] {
  const over = mounts.filter((path) => !dataFolders.test(path));
  return over.length === 0 ? undefined : over;
}

/** Returns the run key under which an inspection is remembered: Jobs often differ in arguments that decide nothing. */
export function runOf(keys: DetectionKeys, { decidedBy }: Inspection): string {
  if (decidedBy === 'entrypoint') return keys.runOfEntrypoint ?? keys.run;
  return decidedBy === 'first-word' ? (keys.runOfFirstWord ?? keys.run) : keys.run;
}

/** Returns every run key under which an answer to this request may be remembered. */
export function runsOf({ run, runOfEntrypoint, runOfFirstWord }: DetectionKeys): readonly string[] {
  return [runOfEntrypoint, runOfFirstWord, run].filter((key) => key !== undefined);
}

/**
 * Returns the key of a verdict. The repository is part of it although the digest identifies the image: layers are read only
 * in part, so their digests stay unchecked. A registry that serves another's manifest with forged layers must not decide
 * for that other registry's images.
 */
export function verdictKey({ repository }: DetectionKeys, manifestDigest: string, run: string): string {
  return digestOf([repository, manifestDigest, run]);
}

/** Returns a reference to a request's image by the digest of its manifest. */
export function pinnedName({ repository }: DetectionKeys, manifestDigest: string): string {
  return `${repository}@${manifestDigest}`;
}

/** Returns the key of a set of logins; empty for no logins. `secret` keeps the logins from being guessed from their key. */
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

/** Most images whose keys are remembered. Making keys anew costs some 10 us. */
const most = 1000;

/** Characters of reference and platform. The keys of longer names, which Pods may choose, are not remembered. */
const longest = 512;

/**
 * Makes the keys of requests, and remembers the keys of frequent images: parsing the reference would be most of the cost of
 * a known image. Throws what `canonical` throws.
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
