import { createHash } from 'node:crypto';

/** Returns the OCI digest of some bytes: `sha256:<hex>`. */
export function sha256Digest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
