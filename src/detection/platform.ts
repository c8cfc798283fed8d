import type { PodView } from '../policy/model.ts';
import type { Platform } from './image-source.ts';

const ARCH_LABELS = ['kubernetes.io/arch', 'beta.kubernetes.io/arch'] as const;

/** Reads `os/architecture[/variant]`, for example `linux/arm64` or `linux/arm/v7`. */
export function parsePlatform(text: string): Platform {
  const [os = 'linux', architecture = 'amd64', variant] = text.split('/');
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** `linux/arm/v7`. */
export function platformName({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * The platform a Pod will run on: its nodeSelector's architecture, else that of its required node affinity (`fallback`
 * where it leaves several and that is among them), else `fallback`.
 */
export function podPlatform(pod: PodView, fallback: Platform): Platform {
  const selected = ARCH_LABELS.map((label) => pod.nodeSelector[label]).find((value) => value !== undefined);
  const choices = selected === undefined ? pod.affinityArchitectures : [selected];
  const architecture = choices.includes(fallback.architecture) ? fallback.architecture : choices[0];
  if (architecture === undefined || architecture === fallback.architecture) return fallback;
  return { os: 'linux', architecture };
}
