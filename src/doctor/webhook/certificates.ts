import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';

import { splitCertificates } from '../../certificates/registration.ts';
import { counted } from '../../util/text.ts';
import { type Advice, ok, type Outcome, type Remark, skipped, summarize } from '../check.ts';
import type { WebhookEntry } from '../view/view.ts';

/** The certificate that a replica serves, or why it was not seen. */
export interface Served {
  /** The address asked. */
  readonly from: string;
  /** PEM. */
  readonly certificate?: string;
  readonly error?: string;
}

/** The certificates in a Secret. */
export interface Stored {
  /** `namespace/name`. */
  readonly secret: string;
  /** PEM by key of the Secret. */
  readonly certificates: Readonly<Record<string, string>>;
}

export interface CertificateEvidence {
  readonly entries: readonly Pick<WebhookEntry, 'name' | 'caBundle' | 'service'>[];
  /** Empty if no replica was asked; `notAsked` says why. */
  readonly served: readonly Served[];
  readonly notAsked?: string;
  readonly stored?: Stored;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const UNTRUSTED: Advice = {
  text: 'The log of the replicas says why the caBundle is not theirs. docs/certificates.md, "When something is wrong".',
};

/** Judges whether the API server trusts the certificates that the replicas serve. */
export function judgeTrust(evidence: CertificateEvidence): Outcome {
  const { entries, served, stored, notAsked, now } = evidence;
  const remarks = [
    ...entries.flatMap((entry) => judgeBundle(entry, now)),
    ...served.flatMap((one) => judgeServed(evidence, one)),
    ...(stored === undefined ? [] : judgeStored(evidence, stored)),
  ];
  const data = { served: served.length, secret: stored?.secret ?? null };
  if (remarks.length > 0) return summarize(remarks, '', { data });
  if (served.length > 0)
    return ok(
      `the caBundle holds the CA of what ${counted(served.length, 'replica')} ${served.length === 1 ? 'serves' : 'serve'}`,
      { data },
    );
  if (stored === undefined)
    return skipped(`there is a caBundle; what the replicas serve was not seen: ${notAsked ?? ''}`, {
      data,
      advice: [INSIDE],
    });
  return ok(
    `the caBundle holds the CA of Secret ${stored.secret}; what the replicas serve was not seen: ${notAsked ?? ''}`,
    { data },
  );
}

const INSIDE: Advice = {
  text: 'To see what the replicas serve: from outside, with kubectl -n NAMESPACE port-forward service/NAME 8443:443 and doctor --webhook 127.0.0.1:8443.',
};

function judgeBundle({ name, caBundle }: CertificateEvidence['entries'][number], now: number): Remark[] {
  if (caBundle === '') {
    return [
      { status: 'failure', text: `${name} carries no caBundle: the API server trusts no replica`, advice: UNTRUSTED },
    ];
  }
  const bundle = readCertificates(caBundle);
  if (bundle.some((ca) => isValid(ca, now))) return [];
  const defect = bundle.length === 0 ? 'holds no readable certificate' : 'holds expired certificates only';
  return [{ status: 'failure', text: `the caBundle of ${name} ${defect}`, advice: UNTRUSTED }];
}

function judgeServed({ entries, now }: CertificateEvidence, { from, certificate = '', error }: Served): Remark[] {
  const [leaf] = readCertificates(certificate);
  if (leaf === undefined)
    return [{ status: 'failure', text: `${from} shows no certificate: ${error ?? 'none came'}`, advice: UNTRUSTED }];
  const untrusted = entries.filter(({ caBundle }) => !trusts(readCertificates(caBundle), leaf, now));
  const names = new Set(
    entries.flatMap(({ service }) => (service ? [`${service.name}.${service.namespace}.svc`] : [])),
  );
  const unnamed = [...names].filter((name) => leaf.checkHost(name) === undefined);
  return [
    ...untrusted.map(({ name }): Remark => ({
      status: 'failure',
      text: `what ${from} serves was not signed by a CA in the caBundle of ${name}`,
      advice: UNTRUSTED,
    })),
    ...unnamed.map((name): Remark => ({
      status: 'failure',
      text: `the certificate of ${from} is not for ${name}, which the API server asks for`,
    })),
  ];
}

/** Keys of certificates that the API server must trust: the current CA (docs/certificates.md), or a serving pair. */
const SIGNING = ['current.crt', 'tls.crt'] as const;

function judgeStored({ entries, now }: CertificateEvidence, { secret, certificates }: Stored): Remark[] {
  const key = SIGNING.find((known) => certificates[known] !== undefined);
  const [current] = readCertificates(key === undefined ? '' : (certificates[key] ?? ''));
  if (current === undefined)
    return [{ status: 'failure', text: `Secret ${secret} holds no certificate`, advice: UNTRUSTED }];
  return entries
    .filter(({ caBundle }) => caBundle !== '' && !trusts(readCertificates(caBundle), current, now))
    .map(({ name }) => ({
      status: 'failure',
      text: `the caBundle of ${name} does not hold the CA of Secret ${secret} (${key})`,
      advice: UNTRUSTED,
    }));
}

/** Verifies like the API server: a valid CA of the bundle signed the leaf, or the bundle contains the leaf itself. */
function trusts(bundle: readonly X509Certificate[], leaf: X509Certificate, now: number): boolean {
  return bundle.some((ca) => {
    if (!isValid(ca, now)) return false;
    return ca.fingerprint256 === leaf.fingerprint256 || (ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
  });
}

function isValid({ validFromDate, validToDate }: X509Certificate, now: number): boolean {
  return validFromDate.getTime() <= now && now < validToDate.getTime();
}

/** Returns the certificates of a PEM text that can be parsed, at most 50. */
export function readCertificates(pem: string): X509Certificate[] {
  const texts = splitCertificates(pem.slice(0, 1_000_000)).slice(0, 50);
  return texts.flatMap((text) => {
    try {
      return [new X509Certificate(text)];
    } catch {
      return [];
    }
  });
}

const DAY = 86_400_000;

function duration(ms: number): string {
  if (ms >= 2 * DAY) return `${Math.floor(ms / DAY)} days`;
  return ms >= 7_200_000 ? `${Math.floor(ms / 3_600_000)} hours` : `${Math.max(0, Math.floor(ms / 60_000))} minutes`;
}

interface NamedCertificate {
  /** `certificate of 10.0.0.7:10250`, `CA in the caBundle`. */
  readonly what: string;
  readonly certificate: X509Certificate;
}

/** Share of a certificate's lifetime. The webhook and cert-manager renew at 60 to 67 %, so an older one was missed. */
const OVERDUE = 0.8;

function judgeAge({ what, certificate }: NamedCertificate, now: number): Remark {
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  const until = `until ${certificate.validToDate.toISOString()}`;
  if (now >= to)
    return { status: 'failure', text: `${what} expired ${duration(now - to)} ago (${until})`, advice: UNTRUSTED };
  if (now < from) {
    const advice = { text: 'Compare the clocks of this machine and of the nodes.' };
    return {
      status: 'failure',
      text: `${what} is not valid before ${certificate.validFromDate.toISOString()}`,
      advice,
    };
  }
  const left = `${what} is valid for ${duration(to - now)} more (${until})`;
  if (now - from < OVERDUE * (to - from)) return { status: 'ok', text: left };
  const advice = {
    text: 'It should have been replaced at two thirds of its life: the log of the replicas, or of cert-manager, says why it was not.',
  };
  return { status: 'warning', text: `${left}, and was not renewed in time`, advice };
}

/** Returns the certificate of the bundle that expires last: during a CA rotation the old one may have expired. */
export function lastToExpire(pem: string): X509Certificate | undefined {
  return readCertificates(pem).toSorted((left, right) => right.validToDate.getTime() - left.validToDate.getTime())[0];
}

/** Judges when certificates expire: those served, the Secret's, and the CA that the API server trusts. */
export function judgeLife({ entries, served, stored, now }: CertificateEvidence): Outcome {
  const found: NamedCertificate[] = [
    ...served.flatMap(({ from, certificate = '' }) =>
      readCertificates(certificate)
        .slice(0, 1)
        .map((leaf) => ({ what: `the certificate of ${from}`, certificate: leaf })),
    ),
    ...SIGNING.flatMap((key) =>
      readCertificates(stored?.certificates[key] ?? '')
        .slice(0, 1)
        .map((certificate) => ({ what: `${key} of Secret ${stored?.secret}`, certificate })),
    ),
    ...entries.flatMap(({ name, caBundle }) => {
      const ca = lastToExpire(caBundle);
      return ca === undefined ? [] : [{ what: `the CA in the caBundle of ${name}`, certificate: ca }];
    }),
  ];
  if (found.length === 0) return skipped('no certificate was seen');
  const ages = found.map((one) => judgeAge(one, now));
  const first = found.reduce((least, one) =>
    one.certificate.validToDate < least.certificate.validToDate ? one : least,
  );
  const data = {
    expires: Object.fromEntries(found.map(({ what, certificate }) => [what, certificate.validToDate.toISOString()])),
  };
  const bad = ages.filter(({ status }) => status !== 'ok');
  if (bad.length > 0) return summarize(bad, '', { data });
  return ok(judgeAge(first, now).text, {
    data,
    details: ages.length > 1 ? [`the shortest of ${ages.length} certificates`] : [],
  });
}

export interface ReplicaAddress {
  readonly host: string;
  readonly port: number;
  /** The server name that the API server sends (SNI). */
  readonly servername: string;
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** Fetches the certificate that a replica serves, without verifying it: {@link judgeTrust} does that. Never rejects. */
export function askCertificate({ host, port, servername }: ReplicaAddress, timeoutMs: number): Promise<Served> {
  const from = `${host}:${port}`;
  return new Promise((resolve) => {
    const socket = connect({ host, port, servername, rejectUnauthorized: false });
    const settle = (served: Omit<Served, 'from'>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ from, ...served });
    };
    const timer = setTimeout(() => settle({ error: 'no answer' }), timeoutMs);
    socket.on('secureConnect', () => {
      const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
      settle(raw === undefined ? { error: 'no certificate' } : { certificate: pemOf(raw) });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => settle({ error: error.code ?? error.message }));
    socket.on('close', () => settle({ error: 'closed' }));
  });
}
