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
  /** SHA-256 of the certificate, which identifies the CA. */
  readonly id: string;
  /** Milliseconds since the epoch, as `notAfter`. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A CA with its key. A KeyObject, unlike PEM, does not reveal the key when it is printed by mistake. */
export interface SigningCa extends Ca {
  readonly key: KeyObject;
}

/** A DNS name or an IP address of a server. */
export interface ServerName {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** Algorithms for CAs that a person provides: all that Go clients verify and WebCrypto can sign with. */
const SIGNING: Readonly<Record<string, typeof ALGORITHM | { name: string; hash: string }>> = {
  prime256v1: ALGORITHM,
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
};

const HOUR_MS = 3_600_000;

/**
 * How far certificates are back-dated, so that clients whose clock is behind accept them; short-lived ones by a part of their
 * lifetime. CAs by a day: the clock of the replica that creates one may be wrong.
 */
const BACKDATE_MS = { leaf: HOUR_MS, ca: 24 * HOUR_MS } as const;

function dates(now: number, lifetimeMs: number, backdateMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now - Math.min(backdateMs, lifetimeMs / 24)), notAfter: new Date(now + lifetimeMs) };
}

function signingAlgorithm(key: KeyObject): (typeof SIGNING)[string] | undefined {
  return SIGNING[key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? ''];
}

/** Reads a CA's certificate. Throws {@link CertificateError}, which calls it `what`. */
export function readCa(cert: string, what: string): Ca {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(cert);
  } catch {
    throw new CertificateError(`${what}: no PEM certificate in it`);
  }
  if (!parsed.ca) throw new CertificateError(`${what}: the certificate is not a CA's`);
  return {
    // Only the first certificate of a chain, in normal form: comments and blanks do not make it another CA.
    cert: parsed.toString(),
    id: parsed.fingerprint256,
    notBefore: parsed.validFromDate.getTime(),
    notAfter: parsed.validToDate.getTime(),
  };
}

/** Reads a CA with its key (PKCS#8, SEC1 or PKCS#1 PEM). Throws {@link CertificateError}, which calls them `what`. */
export function readSigningCa(cert: string, key: string, what: string): SigningCa {
  const ca = readCa(cert, what);
  let parsed: KeyObject;
  try {
    parsed = createPrivateKey(key);
  } catch {
    // Without a cause: OpenSSL's error says no more, and the log might print it.
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

/** Creates a CA (ECDSA P-256) that may sign leaf certificates only. */
export async function createAuthority({ now, lifetimeMs }: AuthorityOptions): Promise<SigningCa> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  // A unique subject: if two CAs in a bundle share a name, some clients try only one of them.
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
 * Signs a serving certificate for a new key. It is not valid for longer than its CA. Rejects if the CA's key cannot be
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

/** Returns the key as PKCS#8 PEM. */
export function privatePem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}
