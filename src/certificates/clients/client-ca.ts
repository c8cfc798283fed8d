import { X509Certificate } from 'node:crypto';

import { messageOf } from '../../util/text.ts';
import { type Followed, followFiles, readPem } from '../files.ts';
import { splitCertificates } from '../registration.ts';
import { CertificateError } from '../source.ts';

/** The certificate authorities whose client certificates are accepted. */
export interface ClientCa {
  /** PEM, one or more. */
  readonly pem: string;
  readonly authorities: readonly X509Certificate[];
}

interface FileClientCaOptions {
  readonly file: string;
  /** Called if a new bundle cannot be used: the old one stays. */
  readonly onError: (error: CertificateError) => void;
}

/**
 * Reads a bundle of CAs from a mounted file, and again when it changes. Throws {@link CertificateError} if the first one is
 * unusable.
 */
export const fileClientCa = ({ file, onError }: FileClientCaOptions): Followed<ClientCa> =>
  followFiles({ files: [file], read: () => readBundle(file), isSame: (a, b) => a.pem === b.pem, onError });

/** One that cannot be read spoils the bundle: OpenSSL would stop there, and the rest would silently be missing. */
function readBundle(file: string): ClientCa {
  const texts = splitCertificates(readPem(file));
  if (texts.length === 0) throw new CertificateError(`${file}: no PEM certificate in it (is it still being written?)`);
  const authorities = texts.map((text, index) => {
    const which = `${file}: certificate ${index + 1}`;
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(text);
    } catch (error) {
      throw new CertificateError(`${which} cannot be read: ${messageOf(error)}`, { cause: error });
    }
    if (!certificate.ca) throw new CertificateError(`${which} is not a CA's`);
    return certificate;
  });
  for (const [index, ca] of authorities.entries()) {
    if (authorities.some((issuer) => ca.checkIssued(issuer))) continue;
    // Node's TLS server trusts nothing that does not end in a root.
    throw new CertificateError(`${file}: certificate ${index + 1} is not self-signed: add the CA that signed it`);
  }
  return { pem: authorities.map(String).join(''), authorities };
}

/** Returns when the last CA of a bundle expires: during a rotation the old one may have expired. */
export const expiryOf = ({ authorities }: ClientCa): Date =>
  new Date(Math.max(...authorities.map(({ validToDate }) => validToDate.getTime())));
