import { createHmac, hash } from 'node:crypto';
import type { DetectRequest } from './detector.ts';

/** The names under which one request's answers are remembered. Hashes: whoever creates Pods chooses what goes in. */
export interface DetectionKeys {
  readonly canonical: string;
  /** The reference for a platform. */
  readonly image: string;
  /** The Pod's own command and args. */
  readonly run: string;
  /** Registry and repository, without tag and digest. */
  readonly repository: string;
  /** The reference names a digest: what it stands for never changes. */
  readonly pinned: boolean;
}

const digestSuffix = /@sha(?:256|512):[0-9a-f]+$/u;
const tagSuffix = /:[^:/]*$/u;
const noWords = digestOf([[], []]);

/** The keys of a request for the image of this canonical name. */
export function detectionKeys(request: DetectRequest, canonical: string): DetectionKeys {
  const { platform, command, args } = request;
  const pinned = digestSuffix.test(canonical);
  return {
    canonical,
    image: digestOf([canonical, platform.os, platform.architecture, platform.variant ?? '']),
    run: command.length === 0 && args.length === 0 ? noWords : digestOf([command, args]),
    repository: canonical.replace(pinned ? digestSuffix : tagSuffix, ''),
    pinned,
  };
}

/**
 * The key of what a manifest's program was found to be. The repository is part of it although the digest says all: layers
 * are read in part, so their own digests stay unchecked, and a registry that serves another's manifest with layers
 * of its making must not answer for that other registry's images.
 */
export function verdictKey(keys: DetectionKeys, manifestDigest: string): string {
  return digestOf([keys.repository, manifestDigest, keys.run]);
}

/** The key of a set of logins, empty for none. `secret` makes it worthless to who reads the memory of keys. */
export function loginKey(credentials: DetectRequest['credentials'], secret: Uint8Array): string {
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
