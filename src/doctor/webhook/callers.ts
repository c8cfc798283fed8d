import type { Config } from '../../config/schema.ts';
import { counted } from '../../util/text.ts';
import { type Advice, ok, type Outcome, type Remark, summarize, warning } from '../check.ts';
import { lastToExpire } from './certificates.ts';
import { type Sample, samplesOf, sumOf } from './fail-open.ts';

const DECIDED = 'libc_dns_decisions_total';
const REFUSED = 'libc_dns_refused_callers_total';

/** The metrics of a replica about its callers. */
export const CALLER_METRICS = [DECIDED, REFUSED] as const;

/** The API server's metric that has the HTTP status of its calls. */
export const CALL_STATUS_METRICS = ['apiserver_admission_webhook_request_total'] as const;

export interface CallersEvidence {
  readonly config: Pick<Config, 'tls' | 'detection' | 'warmUp'>;
  /** PEM, as mounted at `tls.clientCaFile`; undefined if it was not found. */
  readonly clientCa?: string;
  /** Lines of `CALLER_METRICS`, of all replicas; undefined if none was read. */
  readonly replicas?: readonly string[];
  /** Lines of `CALL_STATUS_METRICS`; undefined if they were not read. */
  readonly apiServer?: readonly string[];
  /** Names of our entries. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const WHO: Advice = { text: 'See "Who may call" in docs/security.md for each platform.' };

const DAY = 86_400_000;
/** A CA of callers is replaced by hand, in two places. */
const SOON = 30 * DAY;

/** Judges who may call the webhook, and whether the API server's calls are among them. */
export function judgeCallers(evidence: CallersEvidence): Outcome {
  const { tls } = evidence.config;
  if (tls.clientCaFile === '') return unverified(evidence.config);
  const samples = samplesOf(evidence.replicas ?? []);
  const answered = sumOf(samples, DECIDED);
  const refused = sumOf(samples, REFUSED);
  const statuses = samplesOf(evidence.apiServer ?? []).filter(({ labels }) =>
    evidence.names.includes(labels['name'] ?? ''),
  );
  const data = {
    clientCa: true,
    expires: lastToExpire(evidence.clientCa ?? '')?.validToDate.toISOString() ?? null,
    names: tls.clientNames,
    answered: evidence.replicas === undefined ? null : answered,
    refused: evidence.replicas === undefined ? null : refused,
    apiServerRefused: evidence.apiServer === undefined ? null : refusedCalls(statuses),
  };
  const remarks = [
    ...judgeRefusals(refusedCalls(statuses), { answered, refused, reasons: reasonsOf(samples) }),
    ...judgeAge(evidence.clientCa, evidence.now),
  ];
  const seen =
    evidence.replicas === undefined
      ? 'replicas were not asked for their counts'
      : `${counted(answered, 'Pod')} decided about since the replicas started, no call refused`;
  return summarize(remarks, `a client certificate is asked for: ${seen}`, { data });
}

function unverified({ detection, warmUp }: CallersEvidence['config']): Outcome {
  const { pullSecrets, enabled } = detection.registry;
  const data = { clientCa: false, pullSecrets };
  const anyone = 'anyone who reaches the port may call (tls.clientCaFile is not set)';
  if (pullSecrets === false || !enabled) {
    return ok(anyone, { data, details: ['answers do not say why an image could not be looked up'] });
  }
  const used = warmUp.enabled ? 'only for workloads that warm-up sees' : 'for nothing';
  const seen =
    pullSecrets === 'unverified'
      ? `${anyone}, and have the pull secrets of any namespace used (pullSecrets: unverified)`
      : `${anyone}: pull secrets are used ${used} (pullSecrets: true)`;
  return warning(seen, { data, advice: [WHO] });
}

interface Counts {
  readonly answered: number;
  readonly refused: number;
  /** `none 3, untrusted 1` */
  readonly reasons: string;
}

function judgeRefusals(byApiServer: number, { answered, refused, reasons }: Counts): Remark[] {
  if (byApiServer > 0) {
    const text = `${counted(byApiServer, 'call')} of the API server refused since it started, for its client certificate (403)`;
    return [{ status: answered > 0 ? 'warning' : 'failure', text, advice: WHO }];
  }
  if (refused === 0) return [];
  const text =
    answered > 0
      ? `${counted(refused, 'call')} refused (${reasons}): an API server without the certificate, or somebody else`
      : `all calls are refused (${reasons}): no API server shows an accepted certificate`;
  return [{ status: answered > 0 ? 'warning' : 'failure', text, advice: WHO }];
}

function judgeAge(pem: string | undefined, now: number): Remark[] {
  if (pem === undefined) return [];
  const ca = lastToExpire(pem);
  if (ca === undefined) {
    return [{ status: 'failure', text: 'tls.clientCaFile holds no readable certificate', advice: WHO }];
  }
  const until = ca.validToDate.toISOString();
  const left = ca.validToDate.getTime() - now;
  if (left <= 0) {
    return [{ status: 'failure', text: `the CA of client certificates expired (${until})`, advice: WHO }];
  }
  const days = `${counted(Math.floor(left / DAY), 'more day')} (${until})`;
  if (left < SOON) {
    const advice = {
      text: 'Put the next CA beside it in the file, give API servers its certificates, then remove the old one.',
    };
    return [{ status: 'warning', text: `the CA of client certificates is valid for ${days}`, advice }];
  }
  return [{ status: 'ok', text: `the CA of client certificates is valid for ${days}` }];
}

const refusedCalls = (samples: readonly Sample[]): number =>
  samples.filter(({ labels }) => labels['code'] === '403').reduce((total, { value }) => total + value, 0);

function reasonsOf(samples: readonly Sample[]): string {
  const byReason = new Map<string, number>();
  for (const { metric, labels, value } of samples) {
    const { reason = '' } = labels;
    if (metric === REFUSED && value > 0) byReason.set(reason, (byReason.get(reason) ?? 0) + value);
  }
  return [...byReason].map(([reason, count]) => `${reason} ${count}`).join(', ');
}
