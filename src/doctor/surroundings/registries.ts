import type { Detection } from '../../detection/detector.ts';
import { counted } from '../../util/text.ts';
import { type Advice, ok, type Outcome, type Remark, skipped, summarize } from '../check.ts';

/** One image of a registry, inspected as the webhook does. */
export interface InspectedImage {
  readonly registry: string;
  readonly image: string;
  readonly detection: Pick<Detection, 'failure' | 'verdict' | 'meter'>;
  readonly ms: number;
}

interface RegistriesEvidence {
  readonly inspected: readonly InspectedImage[];
  /** Number of registries beyond the limit, which were not asked. */
  readonly more: number;
  /** Describes the Pods whose images these are, for messages. */
  readonly whose: string;
  /** Whether this runs in the cluster. */
  readonly inside: boolean;
  /** Parts of the configuration that cannot be used here. */
  readonly notes: readonly string[];
}

const ADVICE: Readonly<Partial<Record<string, Advice>>> = {
  unauthorized: {
    text: 'Give the webhook a login: detection.registry.pullSecrets, dockerConfig or identities (docs/pull-secrets.md), or annotate the Pods with libc-dns.dev/libc.',
  },
  'forbidden-host': { text: 'The configuration forbids calling it: detection.registry.allow and deny.' },
  'rate-limited': { text: 'Give the webhook a login or a mirror: detection.registry.mirrors.' },
  'not-found': { text: 'The image is no longer in its registry: a new Pod would not start either.' },
};

const UNREACHABLE: Advice = {
  text: 'If the webhook cannot reach it either, allow that (NetworkPolicy, firewall), configure a mirror, or annotate the Pods with libc-dns.dev/libc.',
};

function remark(
  { registry, image, detection: { failure, verdict, meter }, ms }: InspectedImage,
  inside: boolean,
): Remark {
  if (failure === undefined) {
    const cost = `${counted(meter.requests, 'request')}, ${Math.round(ms)} ms`;
    return { status: 'ok', text: `${registry}: ${image} is ${verdict.resolver} (${cost})` };
  }
  const { code, message } = failure;
  const text = message.startsWith(registry) ? `${message} (${code})` : `${registry}: ${message} (${code})`;
  const advice = ADVICE[failure.code] ?? (inside ? UNREACHABLE : { text: `From here. ${UNREACHABLE.text}` });
  return { status: 'warning', text, advice };
}

/** Judges whether the registries of these Pods' images can be read, with the webhook's own rules and logins. */
export function judgeRegistries({ inspected, more, whose, inside, notes }: RegistriesEvidence): Outcome {
  if (inspected.length === 0) return skipped(`no images of ${whose}`, { details: notes });
  const remarks = inspected.map((one) => remark(one, inside));
  const good = remarks.filter(({ status }) => status === 'ok').length;
  const fine = `${counted(good, 'registry', 'registries')} of ${whose}: images can be read${inside ? '' : ' from here'}`;
  const data = {
    registries: inspected.map(({ registry, image, detection, ms }) => ({
      registry,
      image,
      resolver: detection.verdict.resolver,
      error: detection.failure?.code ?? null,
      ms: Math.round(ms),
    })),
  };
  const details = [...(more > 0 ? [`${more} more were not asked`] : []), ...notes];
  if (good === inspected.length) return ok(fine, { data, details: [...remarks.map(({ text }) => text), ...details] });
  return summarize(remarks, fine, { data, details });
}
