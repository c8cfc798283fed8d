import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

import type { Followed } from '../files.ts';
import type { ClientCa } from './client-ca.ts';

/**
 * Why a caller is refused. `none`: it sent no certificate · `untrusted`: no CA of the bundle vouches for it · `expired` ·
 * `name`: its certificate has no accepted name.
 */
export type CallerRefusal = 'none' | 'untrusted' | 'expired' | 'name';

/** Decides who may call, by the client certificate of the connection. */
export interface Callers {
  readonly ca: Followed<ClientCa>;
  /** Returns why the caller at the other end is refused; undefined if it may call. Cheap for a connection that is known. */
  readonly refusal: (socket: TLSSocket) => CallerRefusal | undefined;
}

interface CallersOptions {
  readonly ca: Followed<ClientCa>;
  /** Accepted common names of the subject and DNS names of the certificate; empty: any certificate that a CA of the bundle signed. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What is known of a connection. */
interface Known {
  /** The bundle by which it was judged. */
  readonly ca: ClientCa;
  readonly refusal: CallerRefusal | undefined;
  /** Milliseconds since the epoch, of the certificate. */
  readonly notAfter: number;
}

/**
 * Judges each connection once, and again when the bundle has changed: API servers keep connections for long, and a CA that was taken
 * out must not be good for as long as that.
 */
export function createCallers({ ca, names, now }: CallersOptions): Callers {
  const known = new WeakMap<TLSSocket, Known>();
  const judge = (socket: TLSSocket): Known => {
    const current = ca.current();
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return { ca: current, refusal: 'none', notAfter: Infinity };
    // OpenSSL has verified the whole chain, but perhaps by an earlier bundle.
    const isTrusted = socket.authorized && isVouchedFor(certificate, current, now());
    const refusal = isTrusted ? refusalByName(certificate, names) : untrusted(socket);
    return { ca: current, refusal, notAfter: certificate.validToDate.getTime() };
  };
  return {
    ca,
    refusal(socket) {
      let one = known.get(socket);
      if (one?.ca !== ca.current()) known.set(socket, (one = judge(socket)));
      return one.refusal ?? (now() < one.notAfter ? undefined : 'expired');
    },
  };
}

/** Node gives OpenSSL's name of the error. */
const untrusted = ({ authorizationError }: TLSSocket): CallerRefusal =>
  String(authorizationError) === 'CERT_HAS_EXPIRED' ? 'expired' : 'untrusted';

/** Most certificates between a caller's own and a CA of the bundle. */
const MOST_INTERMEDIATES = 5;

const isSigned = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

/**
 * Reports whether a valid CA of the bundle signed the certificate, or a CA below it that the caller sent along. Node finds that one by
 * its name, which two CAs may share: each signature is checked.
 */
function isVouchedFor(certificate: X509Certificate, { authorities }: ClientCa, now: number): boolean {
  const valid = authorities.filter(
    ({ validFromDate, validToDate }) => validFromDate.getTime() <= now && now < validToDate.getTime(),
  );
  let one = certificate;
  for (let depth = 0; depth <= MOST_INTERMEDIATES; depth += 1) {
    const subject = one;
    if (valid.some((ca) => isSigned(subject, ca))) return true;
    const above = subject.issuerCertificate;
    if (above === undefined || !above.ca || !isSigned(subject, above)) return false;
    one = above;
  }
  return false;
}

function refusalByName(certificate: X509Certificate, names: readonly string[]): CallerRefusal | undefined {
  if (names.length === 0) return undefined;
  // Node gives a list if there are several: then no one of them is the caller's name.
  const { CN } = certificate.toLegacyObject().subject;
  const isNamed = (name: string): boolean =>
    CN === name || certificate.checkHost(name, { subject: 'never', wildcards: false }) !== undefined;
  return names.some(isNamed) ? undefined : 'name';
}
