/** A serving certificate and its key, both PEM; `cert` may hold a chain, leaf first. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** Where the server's certificate comes from. Owned here; `tls/` has the sources. */
export interface CertificateSource {
  current(): CertificatePair;
  /** Calls back with each new pair that is usable. */
  onChange(listener: (pair: CertificatePair) => void): void;
  close(): void;
}

/** Something cannot be used as a certificate or key. The message names what and what is wrong; it never holds a key. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code = 'certificate';
}
