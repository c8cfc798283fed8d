import { X509Certificate } from 'node:crypto';

import { fileCertificates } from '../certificates/files.ts';
import { CertificateError, type CertificatePair, type CertificateSource } from '../certificates/source.ts';
import type { ServerContext } from '../commands/serve.ts';
import type { FailureLog } from '../telemetry/failure-log.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import type { Joined } from './join.ts';

const LOOPBACK = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
] as const;

/** A source, and why the API server would not trust what it serves. */
export interface CertificateParts {
  readonly certificates: CertificateSource;
  readonly untrusted: () => string | undefined;
  readonly close: () => Promise<void>;
}

const trusted = (certificates: CertificateSource): CertificateParts => ({
  certificates,
  untrusted: () => undefined,
  close: async () => certificates.close(),
});

async function ephemeral({ log }: ServerContext): Promise<CertificateSource> {
  // Loaded only here: servers with a certificate start faster without it.
  const { ephemeralPair } = await import('../certificates/ephemeral.ts');
  const { ca, ...pair } = await ephemeralPair({ names: LOOPBACK, now: systemClock.now(), days: 365 });
  log.warn({ caBundle: Buffer.from(ca).toString('base64') }, 'serving a certificate made for this run only');
  return { current: () => pair, onChange: () => {}, close: () => {} };
}

function files({ config: { tls }, log, metrics }: ServerContext): CertificateSource {
  const onError = (error: CertificateError): void => {
    metrics.certificateFailed();
    log.error({ err: error }, 'the new certificate cannot be used; the old one stays');
  };
  try {
    return fileCertificates({ certFile: tls.certFile, keyFile: tls.keyFile, onError });
  } catch (error) {
    if (error instanceof CertificateError) throw new CommandError('failed', error.message, { cause: error });
    throw error;
  }
}

/** The source of the server's certificate that the configuration names; each certificate is logged and its expiry exported. */
export async function composeCertificates(
  context: ServerContext,
  joined: Joined,
  failures: FailureLog,
): Promise<CertificateParts> {
  const { config, log, metrics } = context;
  if (config.tls.mode === 'self-managed') {
    const { composeSelfManaged } = await import('./self-managed.ts');
    return await composeSelfManaged(context, joined, failures);
  }
  const source = config.tls.mode === 'files' ? files(context) : await ephemeral(context);
  const note = ({ cert }: CertificatePair): void => {
    const { validToDate, fingerprint256 } = new X509Certificate(cert);
    metrics.certificate(validToDate);
    log.info({ expires: validToDate.toISOString(), sha256: fingerprint256 }, 'certificate in use');
  };
  note(source.current());
  source.onChange(note);
  return trusted(source);
}
