import type { Detection } from '../../detection/detector.ts';
import { counted } from '../../util/text.ts';
import { type Advice, ok, type Outcome, type Remark, skipped, summarize } from '../check.ts';

/** One image of a registry, looked into as the webhook does. */
export interface Looked {
  readonly registry: string;
  readonly image: string;
  readonly detection: Pick<Detection, 'failure' | 'verdict' | 'meter'>;
  readonly ms: number;
}

interface RegistriesSight {
  readonly looked: readonly Looked[];
  /** Registries that were not asked, for there are more than are asked. */
  readonly more: number;
  /** Whose images these are. */
  readonly whose: string;
  /** Whether this runs where the webhook does. */
  readonly inside: boolean;
  /** What of the configuration could not be used here. */
  readonly notes: readonly string[];
}

const ADVICE: Readonly<Partial<Record<string, Advice>>> = {
  unauthorized: {
    text: 'Give the webhook a login: detection.registry.pullSecrets, dockerConfig or identities (docs/pull-secrets.md), or annotate the Pods with libc-dns.dev/libc.',
  },
  'forbidden-host': { text: 'The configuration does not let it be asked: detection.registry.allow and deny.' },
  'rate-limited': { text: 'Give the webhook a login or a mirror: detection.registry.mirrors.' },
  'not-found': { text: 'The image is gone from its registry: a new Pod of it would not start, either.' },
};

const UNREACHABLE: Advice = {
  text: 'Where the webhook runs, too? Then allow it out (NetworkPolicy, firewall), name a mirror, or annotate the Pods with libc-dns.dev/libc.',
};

function remark({ registry, image, detection: { failure, verdict, meter }, ms }: Looked, inside: boolean): Remark {
  if (failure === undefined) {
    const cost = `${counted(meter.requests, 'request')}, ${Math.round(ms)} ms`;
    return { status: 'ok', text: `${registry}: ${image} is ${verdict.resolver} (${cost})` };
  }
  const { code, message } = failure;
  const text = message.startsWith(registry) ? `${message} (${code})` : `${registry}: ${message} (${code})`;
  const advice = ADVICE[failure.code] ?? (inside ? UNREACHABLE : { text: `From here. ${UNREACHABLE.text}` });
  return { status: 'warning', text, advice };
}

/** Whether the registries of the images that matter can be read, with the webhook's own rules and logins. */
export function judgeRegistries({ looked, more, whose, inside, notes }: RegistriesSight): Outcome {
  if (looked.length === 0) return skipped(`no images of ${whose}`, { details: notes });
  const remarks = looked.map((one) => remark(one, inside));
  const good = remarks.filter(({ status }) => status === 'ok').length;
  const fine = `${counted(good, 'registry', 'registries')} of ${whose}: images can be read${inside ? '' : ' from here'}`;
  const data = {
    registries: looked.map(({ registry, image, detection, ms }) => ({
      registry,
      image,
      resolver: detection.verdict.resolver,
      error: detection.failure?.code ?? null,
      ms: Math.round(ms),
    })),
  };
  const details = [...(more > 0 ? [`${more} more were not asked`] : []), ...notes];
  if (good === looked.length) return ok(fine, { data, details: [...remarks.map(({ text }) => text), ...details] });
  return summarize(remarks, fine, { data, details });
}

/** The registry of an image reference as the webhook reads it; `canonical` is its full name, `docker.io/library/nginx:1`. */
export const registryOf = (canonical: string): string => canonical.split('/', 1)[0] ?? '';
