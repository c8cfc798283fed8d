import { X509Certificate } from 'node:crypto';

import { type Callers, createCallers } from '../certificates/clients/callers.ts';
import { type ClientCa, expiryOf, fileClientCa } from '../certificates/clients/client-ca.ts';
import { fileCertificates } from '../certificates/files.ts';
import { CertificateError, type CertificatePair, type CertificateSource } from '../certificates/source.ts';
import type { ServerContext } from '../commands/serve.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import type { Joined } from './join.ts';

const LOOPBACK = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
] as const;

/** A source of certificates. `untrusted` returns why the API server would not trust what it serves; undefined if it would. */
interface OpenCertificates {
  readonly certificates: CertificateSource;
  readonly untrusted: () => string | undefined;
  readonly close: () => Promise<void>;
}

/** Opens the source of the server's certificate that the configuration names. Logs each certificate and exports its expiry. */
export async function openCertificates(context: ServerContext, joined: Joined): Promise<OpenCertificates> {
  const { config, reporter } = context;
  if (config.tls.mode === 'self-managed') return await selfManaged(context, joined);
  const certificates = config.tls.mode === 'files' ? files(context) : await ephemeral(context);
  const note = ({ cert }: CertificatePair): void => {
    const { validToDate, fingerprint256 } = new X509Certificate(cert);
    reporter.metrics.certificate(validToDate);
    reporter.log.info({ expires: validToDate.toISOString(), sha256: fingerprint256 }, 'certificate in use');
  };
  note(certificates.current());
  certificates.onChange(note);
  return { certificates, untrusted: () => undefined, close: async () => certificates.close() };
}

async function ephemeral({ reporter: { log } }: ServerContext): Promise<CertificateSource> {
  // Imported only here: servers with a certificate start faster without it.
  const { ephemeralPair } = await import('../certificates/ephemeral.ts');
  const { ca, ...pair } = await ephemeralPair({ names: LOOPBACK, now: systemClock.now(), days: 365 });
  log.warn({ caBundle: Buffer.from(ca).toString('base64') }, 'serving a certificate made for this run only');
  return { current: () => pair, onChange: () => {}, close: () => {} };
}

function files({ config: { tls }, reporter: { log, metrics } }: ServerContext): CertificateSource {
  const onError = (error: CertificateError): void => {
    metrics.certificateFailed();
    log.error({ err: error }, 'the new certificate cannot be used; the old one stays');
  };
  return openFiles(() => fileCertificates({ certFile: tls.certFile, keyFile: tls.keyFile, onError }));
}

function openFiles<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof CertificateError) throw new CommandError('failed', error.message, { cause: error });
    throw error;
  }
}

/** Opens the check of client certificates; undefined if anybody may call. Logs each bundle of CAs and exports its expiry. */
export function openCallers({ config: { tls }, reporter: { log, metrics } }: ServerContext): Callers | undefined {
  const { clientCaFile: file, clientNames: names } = tls;
  if (file === '') return undefined;
  const onError = (error: CertificateError): void => {
    metrics.certificateFailed();
    log.error({ err: error }, 'the new CAs of client certificates cannot be used; the old ones stay');
  };
  const ca = openFiles(() => fileClientCa({ file, onError }));
  const note = (one: ClientCa): void => {
    const expires = expiryOf(one);
    metrics.clientCa(expires);
    const sha256 = one.authorities.map(({ fingerprint256 }) => fingerprint256);
    log.info({ expires: expires.toISOString(), sha256, names }, 'client certificates of these CAs are accepted');
  };
  note(ca.current());
  ca.onChange(note);
  return createCallers({ ca, names, now: () => systemClock.now() });
}

function placeOf({ client, own: { namespace } }: Joined): Required<Pick<Joined, 'client'>> & { namespace: string } {
  if (client !== undefined && namespace !== undefined) return { client, namespace };
  const missing = client === undefined ? 'a cluster' : 'a namespace (--namespace)';
  throw new CommandError('usage', `tls.mode self-managed needs ${missing}: use files or ephemeral without one`);
}

/**
 * Opens certificates of a CA that all replicas share. Resolves when there is a certificate, or when the server is told to
 * stop. Rejects with `CommandError` if there is no cluster to keep the CA in.
 */
async function selfManaged(context: ServerContext, joined: Joined): Promise<OpenCertificates> {
  const { config, reporter, signal } = context;
  const { tls } = config;
  const { client, namespace } = placeOf(joined);
  // Imported only here: servers with another mode start faster without it.
  const [{ caSecret }, { webhookRegistration }, { selfManagedCertificates }] = await Promise.all([
    import('../certificates/ca-secret.ts'),
    import('../certificates/registration.ts'),
    import('../certificates/self-managed.ts'),
  ]);
  const common = { client, clock: systemClock, reporter };
  const names = [`${tls.service}.${namespace}.svc`, `${tls.service}.${namespace}`, tls.service];
  const source = selfManagedCertificates({
    store: caSecret({ ...common, namespace, name: tls.secret }),
    bundle: webhookRegistration({ ...common, name: tls.registration, service: { namespace, name: tls.service } }),
    names: names.map((value) => ({ type: 'dns', value })),
    clock: systemClock,
    random: Math.random,
    lifetimes: { ca: tls.caLifetime, leaf: tls.certLifetime, overlap: tls.overlap },
    secret: tls.secret,
    reporter,
  });
  const untrusted = (): string | undefined => source.untrusted();
  reporter.metrics.cluster.certificates(() => ({ trusted: untrusted() === undefined, ...source.status() }));
  context.waitFor(untrusted);
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await Promise.race([source.ready, stopped]);
  return { certificates: { ...source, close: () => {} }, untrusted, close: () => source.close() };
}
