import { createHash, type Hash } from 'node:crypto';

const hexLength: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** A content digest as OCI image-spec descriptor.md writes it, taken apart. */
interface Digest {
  readonly algorithm: 'sha256' | 'sha512';
  /** Lower case. */
  readonly hex: string;
}

/**
 * Reads `sha256:<64 hex>` or `sha512:<128 hex>`; the two algorithms that OCI image-spec registers. Undefined for
 * everything else, upper-case hex included, as the specification asks.
 */
export function parseDigest(text: string): Digest | undefined {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, Math.max(colon, 0));
  const hex = text.slice(colon + 1);
  const supported = algorithm === 'sha256' || algorithm === 'sha512';
  if (!supported || hex.length !== hexLength[algorithm] || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return { algorithm, hex };
}

/** A running hash for the digest's algorithm. */
function hashFor(digest: Digest): Hash {
  return createHash(digest.algorithm);
}

/** Whether `bytes` are what `digest` names. */
export function matchesDigest(bytes: Uint8Array, digest: Digest): boolean {
  return hashFor(digest).update(bytes).digest('hex') === digest.hex;
}

/** `sha256:<hex>` of the bytes. */
export function sha256Of(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
