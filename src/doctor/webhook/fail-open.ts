import { counted } from '../../util/text.ts';
import { ok, type Outcome, warning } from '../check.ts';

const CALLS = 'apiserver_admission_webhook_request_total';
const OPEN = 'apiserver_admission_webhook_fail_open_count';
const REJECTED = 'apiserver_admission_webhook_rejection_count';

/** The API server's metrics about its calls to webhooks. */
export const CALL_METRICS = [CALLS, OPEN, REJECTED] as const;

export interface Sample {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Parses lines of the Prometheus text format. Leaves out lines that are no sample. */
export const samplesOf = (lines: readonly string[]): Sample[] =>
  lines.map(readSample).filter((sample) => sample !== undefined);

/** Returns the sum of a metric's samples. */
export const sumOf = (samples: readonly Sample[], metric: string): number =>
  samples.filter((sample) => sample.metric === metric).reduce((total, { value }) => total + value, 0);

/** Parses a line of the Prometheus text format; undefined if it is not a sample. */
export function readSample(line: string): Sample | undefined {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+.\deE]+)(?: \d+)?$/.exec(line);
  if (match === null) return undefined;
  const [, metric = '', pairs = '', value = ''] = match;
  const labels = [...pairs.matchAll(/\b(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
    ([, name = '', text = '']) => [name, text] as const,
  );
  return Number.isNaN(Number(value)) ? undefined : { metric, labels: Object.fromEntries(labels), value: Number(value) };
}

const LOG = {
  text: 'The log of the API server has "failed calling webhook": x509 is the CA, i/o timeout a firewall or NetworkPolicy between control plane and Pods (docs/runbook.md#libcdnswebhookfailsopen).',
};

/** Judges what the API server has counted, since its start, of its calls to our entries (`names`). */
export function judgeFailOpen(lines: readonly string[], names: readonly string[]): Outcome {
  const ours = samplesOf(lines).filter(({ labels }) => names.includes(labels['name'] ?? ''));
  const [calls, open, rejected] = [sumOf(ours, CALLS), sumOf(ours, OPEN), sumOf(ours, REJECTED)];
  const data = { calls, failedOpen: open, rejected };
  const details = ['counted by the one API server that answered, since it started'];
  if (open === 0 && rejected === 0) {
    const seen =
      calls === 0 ? 'no call so far: no Pod in scope was created' : `${counted(calls, 'call')}, none of them failed`;
    return ok(seen, { data, details });
  }
  const seen =
    rejected > 0
      ? `${counted(rejected, 'Pod')} refused, for the webhook could not be asked (failurePolicy Fail)`
      : `${counted(open, 'Pod')} let through unpatched, for the webhook could not be asked (${counted(calls, 'call')} in all)`;
  return warning(seen, { data, details, advice: [LOG] });
}
