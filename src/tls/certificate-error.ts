/** Something cannot be used as a certificate or key. The message names what and what is wrong; it never holds a key. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code = 'certificate';
}
