// @peculiar/x509 resolves its parts through decorators.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

import type { CertificatePair } from '../admission/certificates.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const HOUR_MS = 3_600_000;

export interface EphemeralOptions {
  /** DNS names and IP addresses the server is called by. */
  readonly names: readonly { readonly type: 'dns' | 'ip'; readonly value: string }[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly days: number;
}

/** A serving pair and the CA that signed it, PEM. */
export interface EphemeralPair extends CertificatePair {
  readonly ca: string;
}

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replaceAll(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

/** Makes a CA, keeps its key to itself, and signs one serving certificate with it: for development and the demo. */
export async function ephemeralPair({ names, now, days }: EphemeralOptions): Promise<EphemeralPair> {
  const dates = { notBefore: new Date(now - HOUR_MS), notAfter: new Date(now + days * 24 * HOUR_MS) };
  const caKeys = await webcrypto.subtle.generateKey(ALGORITHM, false, ['sign', 'verify']);
  const leafKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const ca = await X509CertificateGenerator.createSelfSigned(
    {
      ...dates,
      name: 'CN=libc-dns-webhook ephemeral CA',
      keys: caKeys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    },
    webcrypto,
  );
  const leaf = await X509CertificateGenerator.create(
    {
      ...dates,
      subject: 'CN=libc-dns-webhook',
      issuer: ca.subject,
      publicKey: leafKeys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension([...names]),
      ],
    },
    webcrypto,
  );
  return { cert: leaf.toString('pem'), key: await pem(leafKeys.privateKey), ca: ca.toString('pem') };
}
