import type { Platform } from '../detection/image-source.ts';

// Names that people and tools use for the ones in Go's GOARCH. containerd/platforms database.go
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

/** One spelling per platform, as containerd has it: `aarch64` is `arm64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`. */
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

/**
 * How well an image for `offered` runs on `wanted`: 0 is best, undefined not at all. The order is containerd's
 * (platforms/compare.go): the same; then older variants, newest first; then what the processor also runs, 386 on amd64 and
 * 32-bit ARM on arm64. Last comes another variant of the same architecture: which variant a node has is not known before the
 * Pod is scheduled, and a libc does not depend on it.
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const want = normalizePlatform(wanted);
  const offer = normalizePlatform(offered);
  if (want.os !== offer.os) return undefined;
  const order = runnable(want);
  const found = order.findIndex(
    ({ architecture, variant }) => architecture === offer.architecture && variant === offer.variant,
  );
  if (found !== -1) return found;
  return want.architecture === offer.architecture ? order.length : undefined;
}

function runnable(want: Platform): Platform[] {
  const like = (architecture: string, variants: readonly string[]): Platform[] =>
    variants.map((variant) => ({ os: want.os, architecture, ...(variant === '' ? {} : { variant }) }));
  const version = Number(/^v(\d+)$/.exec(want.variant ?? '')?.[1] ?? 0);
  const arm = ['v8', 'v7', 'v6', 'v5'];
  switch (want.architecture) {
    case 'amd64':
      return [
        want,
        ...like(
          'amd64',
          ['v4', 'v3', 'v2'].filter((v) => Number(v.slice(1)) < version),
        ),
        ...like('amd64', ['']),
        ...like('386', ['']),
      ];
    case 'arm64':
      return [want, ...like('arm64', ['']), ...like('arm', arm)];
    case 'arm':
      return [
        want,
        ...like(
          'arm',
          arm.filter((v) => Number(v.slice(1)) < version),
        ),
      ];
    default:
      return [want];
  }
}
