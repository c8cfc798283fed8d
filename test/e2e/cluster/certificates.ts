// x509 uses dependency injection, which needs this.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

import { API_SERVER, certificatesOf, NODES, OUTSIDE, REGISTRIES } from './place.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

interface Wanted {
  readonly file: string;
  readonly subject: string;
  readonly names?: readonly string[];
}

const WANTED: readonly Wanted[] = [
  {
    file: 'apiserver',
    subject: 'CN=kube-apiserver',
    names: [
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      'localhost',
      '10.96.0.1',
      '127.0.0.1',
      API_SERVER,
    ],
  },
  { file: 'apiserver-kubelet', subject: 'O=system:masters, CN=apiserver' },
  { file: 'admin', subject: 'O=system:masters, CN=admin' },
  { file: 'controller-manager', subject: 'CN=system:kube-controller-manager' },
  { file: 'scheduler', subject: 'CN=system:kube-scheduler' },
  { file: 'proxy', subject: 'CN=system:kube-proxy' },
  { file: 'registry', subject: 'CN=registry', names: [...REGISTRIES, OUTSIDE] },
  { file: 'cert-manager', subject: 'CN=cert-manager-webhook', names: [API_SERVER] },
  // For the webhook, one after the other.
  ...[1, 2].map((number) => ({
    file: `webhook-${number}`,
    subject: 'CN=libc-dns-webhook',
    names: ['libc-dns-webhook.libc-dns.svc'],
  })),
  ...NODES.flatMap(({ name, address }) => [
    { file: `kubelet-${name}`, subject: `O=system:nodes, CN=system:node:${name}` },
    { file: `kubelet-server-${name}`, subject: `CN=${name}`, names: [name, address] },
  ]),
];

/** Those of WANTED that a program logs in to the API server with. */
const USERS = ['admin', 'controller-manager', 'scheduler', 'proxy', ...NODES.map(({ name }) => `kubelet-${name}`)];

const keyPair = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

async function pemOf(format: 'pkcs8' | 'spki', key: webcrypto.CryptoKey): Promise<string> {
  const tag = format === 'pkcs8' ? 'PRIVATE KEY' : 'PUBLIC KEY';
  return PemConverter.encode(await webcrypto.subtle.exportKey(format, key), tag);
}

function kubeconfig(user: string, files: { readonly ca: string; readonly cert: string; readonly key: string }): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'e2e',
    clusters: [
      {
        name: 'e2e',
        cluster: { server: `https://${API_SERVER}:6443`, 'certificate-authority-data': base64(files.ca) },
      },
    ],
    users: [
      { name: user, user: { 'client-certificate-data': base64(files.cert), 'client-key-data': base64(files.key) } },
    ],
    contexts: [{ name: 'e2e', context: { cluster: 'e2e', user } }],
  });
}

/** Writes NAME.crt, NAME.key and NAME.kubeconfig of everyone in the cluster, ca.crt, sa.key and sa.pub. Valid for a day. */
export async function writeCertificates(folder: string): Promise<void> {
  cryptoProvider.set(webcrypto);
  const place = certificatesOf(folder);
  await mkdir(place, { recursive: true });
  const write = (name: string, text: string): Promise<void> => writeFile(join(place, name), text, { mode: 0o600 });
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 86_400_000) };
  const authority = await keyPair();
  const root = await X509CertificateGenerator.createSelfSigned({
    ...validity,
    serialNumber: '01',
    name: 'CN=e2e-ca',
    signingAlgorithm: algorithm,
    keys: authority,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  const ca = root.toString('pem');
  await write('ca.crt', ca);
  for (const [index, { file, subject, names = [] }] of WANTED.entries()) {
    const keys = await keyPair();
    const alternative = names.map((value) => ({ type: /^[\d.]+$/.test(value) ? 'ip' : 'dns', value }) as const);
    const certificate = await X509CertificateGenerator.create({
      ...validity,
      serialNumber: String(index + 10),
      subject,
      issuer: root.subject,
      signingKey: authority.privateKey,
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        ...(alternative.length > 0 ? [new SubjectAlternativeNameExtension(alternative)] : []),
      ],
    });
    const cert = certificate.toString('pem');
    const key = await pemOf('pkcs8', keys.privateKey);
    await write(`${file}.crt`, cert);
    await write(`${file}.key`, key);
    if (USERS.includes(file)) await write(`${file}.kubeconfig`, kubeconfig(file, { ca, cert, key }));
  }
  const accounts = await keyPair();
  await write('sa.key', await pemOf('pkcs8', accounts.privateKey));
  await write('sa.pub', await pemOf('spki', accounts.publicKey));
}
