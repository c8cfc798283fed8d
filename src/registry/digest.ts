import { createHash } from 'node:crypto';

const hexLength: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** The parts of a content digest (OCI image-spec descriptor.md). */
interface Digest {
  readonly algorithm: 'sha256' | 'sha512';
  /** Lower case. */
  readonly hex: string;
}

/**
 * Reads `sha256:<64 hex>` or `sha512:<128 hex>`, the algorithms that OCI image-spec registers. Undefined for everything
 * else; the specification forbids upper-case hex.
 */
export function parseDigest(text: string): Digest | undefined {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, Math.max(colon, 0));
  const hex = text.slice(colon + 1);
  const supported = algorithm === 'sha256' || algorithm === 'sha512';
  if (!supported || hex.length !== hexLength[algorithm] || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return { algorithm, hex };
}

/** Reports whether `bytes` have the digest. */
export function matchesDigest(bytes: Uint8Array, { algorithm, hex }: Digest): boolean {
  return createHash(algorithm).update(bytes).digest('hex') === hex;
}

/** Returns `sha256:<hex>` of the bytes. */
export function sha256Of(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
