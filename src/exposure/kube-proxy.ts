import { parse } from 'yaml';

import { isObject } from '../util/json.ts';

/** Where kube-proxy's mode may be found; each undefined where it is not there or could not be read. */
export interface KubeProxySources {
  /** A KubeProxyConfiguration, the ConfigMap that holds it (`ConfigMap namespace/name`), and under which key. */
  readonly config?: { readonly text: string; readonly from: string; readonly key: string };
  /** The command line of a kube-proxy Pod (`Pod namespace/name`). */
  readonly commandLine?: { readonly words: readonly string[]; readonly from: string };
  /** `kube-proxy-replacement` of Cilium's configuration. */
  readonly cilium?: string;
  /** Why something of it could not be read. */
  readonly unread: readonly Error[];
}

const MODES = ['iptables', 'ipvs', 'nftables'] as const;

/** A ConfigMap may hold 1 MiB; this one's are of about 2 KiB. */
const MOST_TEXT = 256 * 1024;

/** In kube-proxy's own words; empty: its default. */
function byName(mode: unknown): Pick<KubeProxy, 'mode'> & { readonly byDefault: boolean } {
  if (mode === '' || mode === null) return { mode: 'iptables', byDefault: true };
  return { mode: MODES.find((known) => known === mode) ?? 'unknown', byDefault: false };
}

/** kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration `mode`: empty is iptables on Linux. */
function configured({ text, from, key }: NonNullable<KubeProxySources['config']>): KubeProxy {
  const unknown: KubeProxy = { mode: 'unknown', source: from, detail: `its ${key} is not understood` };
  let value: unknown;
  try {
    value = text.length > MOST_TEXT ? undefined : parse(text, { maxAliasCount: 10, logLevel: 'silent' });
  } catch {
    return unknown;
  }
  if (!isObject(value)) return unknown;
  const { kind, mode = kind === 'KubeProxyConfiguration' ? '' : undefined } = value;
  const found = byName(mode);
  if (found.mode === 'unknown') return unknown;
  return { mode: found.mode, source: from, detail: found.byDefault ? `${key} names none` : `${key} says so` };
}

/** The value of a flag, also inside a shell's command line. */
function flagOf(words: readonly string[], flag: string): string | undefined {
  const all = words.flatMap((word) => word.slice(0, 10_000).split(/\s+/));
  for (const [index, word] of all.entries()) {
    const [, name, value] = /^--?([a-z-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (name === flag) return value ?? all[index + 1] ?? '';
  }
  return undefined;
}

/** With `--config`, kube-proxy does not look at its other flags. */
function flagged({ words, from }: NonNullable<KubeProxySources['commandLine']>): KubeProxy | undefined {
  const { mode, byDefault } = byName(flagOf(words, 'config') === undefined ? flagOf(words, 'proxy-mode') : undefined);
  if (mode === 'unknown') return undefined;
  return { mode, source: from, detail: byDefault ? '--proxy-mode names none' : '--proxy-mode says so' };
}

/** Who translates Service addresses, how, and where that is written. */
export function kubeProxyOf({ cilium, config, commandLine, unread }: KubeProxySources): KubeProxy {
  if (cilium === 'true' || cilium === 'strict') {
    const detail = `Cilium stands in for kube-proxy (kube-proxy-replacement ${cilium})`;
    return { mode: 'other', source: 'ConfigMap kube-system/cilium-config', detail };
  }
  const found = (commandLine && flagged(commandLine)) ?? (config && configured(config));
  if (found !== undefined) return found;
  const detail =
    unread.length > 0
      ? 'its ConfigMap and its Pods could not be read'
      : 'neither a ConfigMap nor a Pod of kube-proxy or Cilium says it';
  return { mode: 'unknown', source: 'kube-system', detail };
}

/** Who translates the addresses of Services. */
export interface KubeProxy {
  /** `other`: Services are not kube-proxy's, `detail` says whose. */
  readonly mode: 'iptables' | 'ipvs' | 'nftables' | 'other' | 'unknown';
  readonly source: string;
  readonly detail: string;
}
