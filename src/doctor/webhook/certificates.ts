import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';

import { splitCertificates } from '../../certificates/registration.ts';
import { counted } from '../../util/text.ts';
import { type Advice, ok, type Outcome, type Remark, skipped, summarize } from '../check.ts';
import type { WebhookEntry } from '../view/view.ts';

/** A certificate that a replica has shown, or why it has not. */
export interface Served {
  /** The address asked. */
  readonly from: string;
  /** PEM. */
  readonly certificate?: string;
  readonly error?: string;
}

/** Certificates that a Secret holds. */
export interface Stored {
  /** `namespace/name`. */
  readonly secret: string;
  /** By key of the Secret, PEM. */
  readonly certificates: Readonly<Record<string, string>>;
}

export interface CertificateSight {
  readonly entries: readonly Pick<WebhookEntry, 'name' | 'caBundle' | 'service'>[];
  /** Empty: nobody was asked, for `notAsked`. */
  readonly served: readonly Served[];
  readonly notAsked?: string;
  readonly stored?: Stored;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** What can be read of a PEM text, at most 50. */
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

function isValid({ validFromDate, validToDate }: X509Certificate, now: number): boolean {
  return validFromDate.getTime() <= now && now < validToDate.getTime();
}

/** As the API server verifies: a valid CA of the bundle has signed it, or it is in the bundle itself. */
function trusts(bundle: readonly X509Certificate[], leaf: X509Certificate, now: number): boolean {
  return bundle.some((ca) => {
    if (!isValid(ca, now)) return false;
    return ca.fingerprint256 === leaf.fingerprint256 || (ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
  });
}

const UNTRUSTED: Advice = {
  text: 'The log of the replicas says why the caBundle is not theirs. docs/certificates.md, "When something is wrong".',
};

function judgeBundle({ name, caBundle }: CertificateSight['entries'][number], now: number): Remark[] {
  if (caBundle === '') {
    return [
      { status: 'failure', text: `${name} carries no caBundle: the API server trusts no replica`, advice: UNTRUSTED },
    ];
  }
  const bundle = readCertificates(caBundle);
  if (bundle.some((ca) => isValid(ca, now))) return [];
  const why = bundle.length === 0 ? 'holds no certificate that can be read' : 'holds expired certificates only';
  return [{ status: 'failure', text: `the caBundle of ${name} ${why}`, advice: UNTRUSTED }];
}

function judgeServed({ entries, now }: CertificateSight, { from, certificate = '', error }: Served): Remark[] {
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

/** The keys whose certificate the API server has to trust: the CA that signs now (docs/certificates.md), or a serving pair. */
const SIGNING = ['current.crt', 'tls.crt'] as const;

function judgeStored({ entries, now }: CertificateSight, { secret, certificates }: Stored): Remark[] {
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

const INSIDE: Advice = {
  text: 'To see what the replicas serve: from outside, with kubectl -n NAMESPACE port-forward service/NAME 8443:443 and doctor --webhook 127.0.0.1:8443.',
};

/** Whether the API server trusts what the replicas serve. */
export function judgeTrust(sight: CertificateSight): Outcome {
  const { entries, served, stored, notAsked, now } = sight;
  const remarks = [
    ...entries.flatMap((entry) => judgeBundle(entry, now)),
    ...served.flatMap((one) => judgeServed(sight, one)),
    ...(stored === undefined ? [] : judgeStored(sight, stored)),
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

const DAY = 86_400_000;

function duration(ms: number): string {
  if (ms >= 2 * DAY) return `${Math.floor(ms / DAY)} days`;
  return ms >= 7_200_000 ? `${Math.floor(ms / 3_600_000)} hours` : `${Math.max(0, Math.floor(ms / 60_000))} minutes`;
}

interface Aging {
  /** `certificate of 10.0.0.7:10250`, `CA in the caBundle`. */
  readonly what: string;
  readonly certificate: X509Certificate;
}

/** Renewed at 60 to 67 % of its life here, and by cert-manager: what is older than this was forgotten. */
const OLD = 0.8;

function judgeAge({ what, certificate }: Aging, now: number): Remark {
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
  if (now - from < OLD * (to - from)) return { status: 'ok', text: left };
  const advice = {
    text: 'It should have been replaced at two thirds of its life: the log of the replicas, or of cert-manager, says why it was not.',
  };
  return { status: 'warning', text: `${left}, and was not renewed in time`, advice };
}

/** The certificate of the bundle that lasts longest: during a change-over the old CA may well be expired. */
function youngest(pem: string): X509Certificate | undefined {
  return readCertificates(pem).toSorted((left, right) => right.validToDate.getTime() - left.validToDate.getTime())[0];
}

/** How long the certificates last that were seen: those served, the one of the Secret, the CA that the API server trusts. */
export function judgeLife({ entries, served, stored, now }: CertificateSight): Outcome {
  const aging: Aging[] = [
    ...served.flatMap(({ from, certificate = '' }) =>
      readCertificates(certificate)
        .slice(0, 1)
        .map((leaf) => ({ what: `the certificate of ${from}`, certificate: leaf })),
    ),
    ...SIGNING.flatMap((key) =>
      readCertificates(stored?.certificates[key] ?? '')
        .slice(0, 1)
        .map((found) => ({ what: `${key} of Secret ${stored?.secret}`, certificate: found })),
    ),
    ...entries.flatMap(({ name, caBundle }) => {
      const ca = youngest(caBundle);
      return ca === undefined ? [] : [{ what: `the CA in the caBundle of ${name}`, certificate: ca }];
    }),
  ];
  if (aging.length === 0) return skipped('no certificate was seen');
  const ages = aging.map((one) => judgeAge(one, now));
  const first = aging.reduce((least, one) =>
    one.certificate.validToDate < least.certificate.validToDate ? one : least,
  );
  const data = {
    expires: Object.fromEntries(aging.map(({ what, certificate }) => [what, certificate.validToDate.toISOString()])),
  };
  const bad = ages.filter(({ status }) => status !== 'ok');
  if (bad.length > 0) return summarize(bad, '', { data });
  return ok(judgeAge(first, now).text, {
    data,
    details: ages.length > 1 ? [`the shortest of ${ages.length} certificates`] : [],
  });
}

export interface AskedReplica {
  readonly host: string;
  readonly port: number;
  /** The name that the API server asks for (SNI). */
  readonly servername: string;
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** The certificate that a replica shows. It is not verified here: that is what the check is about. Never rejects. */
export function askCertificate({ host, port, servername }: AskedReplica, timeoutMs: number): Promise<Served> {
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
