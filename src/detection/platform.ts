import type { PodView } from '../policy/model.ts';
import type { Platform } from './image-source.ts';

/** Characters of a label's value (apimachinery, LabelValueMaxLength). */
const MOST_LABEL = 63;

const ARCH_LABELS = ['kubernetes.io/arch', 'beta.kubernetes.io/arch'] as const;

/** Parses `os/architecture[/variant]`, for example `linux/arm64` or `linux/arm/v7`. */
export function parsePlatform(text: string): Platform {
  const [os = 'linux', architecture = 'amd64', variant] = text.split('/');
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** Returns the platform in the form `linux/arm/v7`. */
export function platformName({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * Returns the platform a Pod will run on: its nodeSelector's architecture, else the one its required node affinity allows
 * (`fallback` if that is among several), else `fallback`.
 */
export function podPlatform(pod: PodView, fallback: Platform): Platform {
  const selected = ARCH_LABELS.map((label) => pod.nodeSelector[label]).find((value) => value !== undefined);
  const affinity = pod.nodeAffinity.flat().find(({ key }) => key === 'kubernetes.io/arch');
  const given = selected === undefined ? (affinity?.values ?? []) : [selected];
  const choices = given.filter((value) => value.length <= MOST_LABEL);
  const architecture = choices.includes(fallback.architecture) ? fallback.architecture : choices[0];
  if (architecture === undefined || architecture === fallback.architecture) return fallback;
  return { os: 'linux', architecture };
}

// Other common names of Go's GOARCH values (containerd/platforms: database.go).
const architectures: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['x86-64', 'amd64'],
  ['i386', '386'],
  ['i486', '386'],
  ['i586', '386'],
  ['i686', '386'],
  ['aarch64', 'arm64'],
  ['armhf', 'arm'],
  ['armel', 'arm'],
]);

const impliedVariants: ReadonlyMap<string, string> = new Map([
  ['armhf', 'v7'],
  ['armel', 'v6'],
]);

/** Returns containerd's spelling of a platform: `aarch64` is `arm64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`. */
export function normalizePlatform(platform: Platform): Platform {
  const given = platform.architecture.toLowerCase();
  const architecture = architectures.get(given) ?? given;
  const variant = normalizeVariant(architecture, (platform.variant ?? impliedVariants.get(given) ?? '').toLowerCase());
  return { os: platform.os.toLowerCase(), architecture, ...(variant === '' ? {} : { variant }) };
}

function normalizeVariant(architecture: string, given: string): string {
  const variant = /^\d+$/.test(given) ? `v${given}` : given;
  if (architecture === 'amd64') return variant === 'v1' ? '' : variant;
  if (architecture === 'arm64') return variant === 'v8' ? '' : variant;
  if (architecture === 'arm') return variant === '' ? 'v7' : variant;
  return variant;
}
