// x509 uses dependency injection, which needs this.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';

import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const HOUR_MS = 3_600_000;

/** A CA, or what it signed: PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

interface ClientOptions {
  /** `CN=kube-apiserver` unless given. */
  readonly subject?: string;
  readonly dns?: readonly string[];
  /** Milliseconds from now; negative: it has expired. */
  readonly lifetimeMs?: number;
  /** Whether it is for servers and not for clients. */
  readonly forServers?: boolean;
}

/** A CA for client certificates. */
export interface ClientAuthority {
  /** PEM. */
  readonly cert: string;
  readonly sign: (options?: ClientOptions) => Promise<Pair>;
  /** Signs another CA. */
  readonly intermediate: (subject: string) => Promise<ClientAuthority>;
}

const generate = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

async function pemOf(key: CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

async function issue(
  issuer: { readonly subject: string; readonly key: CryptoKey } | undefined,
  subject: string,
  keys: webcrypto.CryptoKeyPair,
  [lifetimeMs, ...extensions]: [
    number,
    ...(BasicConstraintsExtension | ExtendedKeyUsageExtension | SubjectAlternativeNameExtension)[],
  ],
): Promise<X509Certificate> {
  const notAfter = new Date(Date.now() + lifetimeMs);
  return await X509CertificateGenerator.create(
    {
      notBefore: new Date(notAfter.getTime() - 24 * HOUR_MS),
      notAfter,
      subject,
      issuer: issuer?.subject ?? subject,
      publicKey: keys.publicKey,
      signingKey: issuer?.key ?? keys.privateKey,
      signingAlgorithm: algorithm,
      extensions,
    },
    webcrypto,
  );
}

async function authority(
  subject: string,
  issuer: { readonly subject: string; readonly key: CryptoKey } | undefined,
): Promise<ClientAuthority> {
  const keys = await generate();
  const own = { subject, key: keys.privateKey };
  const certificate = await issue(issuer, subject, keys, [
    HOUR_MS,
    new BasicConstraintsExtension(true, undefined, true),
  ]);
  return {
    cert: `${certificate.toString('pem')}\n`,
    async sign({ subject: of = 'CN=kube-apiserver', dns = [], lifetimeMs = HOUR_MS, forServers = false } = {}) {
      const leaf = await generate();
      const usage = forServers ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth;
      const signed = await issue(own, of, leaf, [
        lifetimeMs,
        new ExtendedKeyUsageExtension([usage]),
        ...(dns.length > 0 ? [new SubjectAlternativeNameExtension(dns.map((value) => ({ type: 'dns', value })))] : []),
      ]);
      return { cert: `${signed.toString('pem')}\n`, key: await pemOf(leaf.privateKey) };
    },
    intermediate: async (of) => await authority(of, own),
  };
}

/** Creates a root CA for client certificates. */
export const clientAuthority = async (subject = `CN=callers ${Math.random()}`): Promise<ClientAuthority> =>
  await authority(subject, undefined);
