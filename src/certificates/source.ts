/** A serving certificate and its key, both PEM; `cert` may hold a chain, leaf first. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** Provides the server's certificate. */
export interface CertificateSource {
  current(): CertificatePair;
  /** Calls `listener` with each new usable pair. */
  onChange(listener: (pair: CertificatePair) => void): void;
  close(): void;
}

/** A certificate or key cannot be used. The message names it and says what is wrong; it never holds a key. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code = 'certificate';
}
