// @peculiar/x509 resolves its parts through decorators.
import 'reflect-metadata';
import { createPrivateKey, KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto';

import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

import { CertificateError, type CertificatePair } from './source.ts';

/** A CA's certificate. */
export interface Ca {
  /** PEM. */
  readonly cert: string;
  /** SHA-256 of the certificate: what tells one CA from another. */
  readonly id: string;
  /** Milliseconds since the epoch, as `notAfter`. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A CA that can sign. A KeyObject, unlike PEM, does not show its content when it is printed by mistake. */
export interface SigningCa extends Ca {
  readonly key: KeyObject;
}

/** A name that a server is called by. */
export interface ServerName {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** What a CA given by hand may sign with: all that a Go client verifies and WebCrypto signs. */
const SIGNING: Readonly<Record<string, typeof ALGORITHM | { name: string; hash: string }>> = {
  prime256v1: ALGORITHM,
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
};

const HOUR_MS = 3_600_000;

/**
 * Back-dated, so that clients whose clock is behind accept it; what lives shortly by a part of its life. CAs by a day:
 * the replica that makes one may be the one whose clock is wrong.
 */
const BACKDATE_MS = { leaf: HOUR_MS, ca: 24 * HOUR_MS } as const;

function dates(now: number, lifetimeMs: number, backdateMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - Math.min(backdateMs, lifetimeMs / 24)), notAfter: new Date(now + lifetimeMs) };
}

function signingAlgorithm(key: KeyObject): (typeof SIGNING)[string] | undefined {
  return SIGNING[key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? ''];
}

/** Reads a CA's certificate; throws {@link CertificateError}, which names it `what`. */
export function readCa(cert: string, what: string): Ca {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(cert);
  } catch {
    throw new CertificateError(`${what}: no PEM certificate in it`);
  }
  if (!parsed.ca) throw new CertificateError(`${what}: the certificate is not a CA's`);
  return {
    // Of a chain the first alone, written out anew: comments and blanks do not make another CA.
    cert: parsed.toString(),
    id: parsed.fingerprint256,
    notBefore: parsed.validFromDate.getTime(),
    notAfter: parsed.validToDate.getTime(),
  };
}

/** Reads a CA with its key (PKCS#8, SEC1 or PKCS#1 PEM); throws {@link CertificateError}, which names them `what`. */
export function readSigningCa(cert: string, key: string, what: string): SigningCa {
  const ca = readCa(cert, what);
  let parsed: KeyObject;
  try {
    parsed = createPrivateKey(key);
  } catch {
    // OpenSSL's own error says no more, and a cause might be logged.
    throw new CertificateError(`${what}: no usable PEM private key in it`);
  }
  if (!new X509Certificate(cert).checkPrivateKey(parsed)) {
    throw new CertificateError(`${what}: the key does not belong to the certificate`);
  }
  if (signingAlgorithm(parsed) === undefined) {
    throw new CertificateError(`${what}: expected an ECDSA key on P-256 or P-384, or an RSA key`);
  }
  return { ...ca, key: parsed };
}

interface AuthorityOptions {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly lifetimeMs: number;
}

/** Makes a CA: ECDSA P-256, good for servers' certificates only. */
export async function createAuthority({ now, lifetimeMs }: AuthorityOptions): Promise<SigningCa> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  // A subject of its own: where two CAs of one bundle share a name, some clients try only one of them.
  const name = `CN=libc-dns-webhook CA ${new Date(now).toISOString().slice(0, 10)} ${randomBytes(4).toString('hex')}`;
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...dates(now, lifetimeMs, BACKDATE_MS.ca),
      name,
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { ...readCa(certificate.toString('pem'), 'the new CA'), key: KeyObject.from(keys.privateKey) };
}

interface LeafOptions extends AuthorityOptions {
  readonly ca: SigningCa;
  readonly names: readonly ServerName[];
}

/**
 * Signs a server's certificate with a new key; it ends with its CA at the latest. Throws where the CA's key cannot be
 * used.
 */
export async function signLeaf({ ca, names, now, lifetimeMs }: LeafOptions): Promise<CertificatePair> {
  const algorithm = signingAlgorithm(ca.key) ?? ALGORITHM;
  const authority = new Certificate(ca.cert);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const { notBefore, notAfter } = dates(now, lifetimeMs, BACKDATE_MS.leaf);
  const leaf = await X509CertificateGenerator.create(
    {
      notBefore: new Date(Math.max(notBefore.getTime(), ca.notBefore)),
      notAfter: new Date(Math.min(notAfter.getTime(), ca.notAfter)),
      subject: 'CN=libc-dns-webhook',
      issuer: authority.subjectName,
      publicKey: keys.publicKey,
      signingKey: ca.key.toCryptoKey(algorithm, false, ['sign']),
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension([...names]),
        await AuthorityKeyIdentifierExtension.create(authority.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { cert: leaf.toString('pem'), key: privatePem(KeyObject.from(keys.privateKey)) };
}

/** PKCS#8 PEM. */
export function privatePem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}
