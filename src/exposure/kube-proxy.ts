import { parse } from 'yaml';

import { isObject } from '../util/json.ts';

/** The sources of kube-proxy's mode; each undefined if it does not exist or could not be read. */
export interface KubeProxySources {
  /** A KubeProxyConfiguration, with its ConfigMap (`ConfigMap namespace/name`) and key. */
  readonly config?: { readonly text: string; readonly from: string; readonly key: string };
  /** The command line of a kube-proxy Pod (`Pod namespace/name`). */
  readonly commandLine?: { readonly words: readonly string[]; readonly from: string };
  /** `kube-proxy-replacement` in Cilium's configuration. */
  readonly cilium?: string;
  /** Why sources could not be read. */
  readonly unread: readonly Error[];
}

/** What translates the addresses of Services. */
export interface KubeProxy {
  /** `other`: not kube-proxy; `detail` names the replacement. */
  readonly mode: 'iptables' | 'ipvs' | 'nftables' | 'other' | 'unknown';
  readonly source: string;
  readonly detail: string;
}

/** Returns what translates Service addresses, and the source that says so. */
export function kubeProxyOf({ cilium, config, commandLine, unread }: KubeProxySources): KubeProxy {
  if (cilium === 'true' || cilium === 'strict') {
    const detail = `Cilium stands in for kube-proxy (kube-proxy-replacement ${cilium})`;
    return { mode: 'other', source: 'ConfigMap kube-system/cilium-config', detail };
  }
  const found = (commandLine && fromFlags(commandLine)) ?? (config && fromConfig(config));
  if (found !== undefined) return found;
  const detail =
    unread.length > 0
      ? 'its ConfigMap and its Pods could not be read'
      : 'neither a ConfigMap nor a Pod of kube-proxy or Cilium says it';
  return { mode: 'unknown', source: 'kube-system', detail };
}

/** Reads `mode` of a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1); empty means iptables on Linux. */
function fromConfig({ text, from, key }: NonNullable<KubeProxySources['config']>): KubeProxy {
  const unknown: KubeProxy = { mode: 'unknown', source: from, detail: `its ${key} is not understood` };
  let value: unknown;
  try {
    value = text.length > MOST_TEXT ? undefined : parse(text, { maxAliasCount: 10, logLevel: 'silent' });
  } catch {
    return unknown;
  }
  if (!isObject(value)) return unknown;
  const { kind, mode = kind === 'KubeProxyConfiguration' ? '' : undefined } = value;
  const found = parseMode(mode);
  if (found.mode === 'unknown') return unknown;
  return { mode: found.mode, source: from, detail: found.byDefault ? `${key} names none` : `${key} says so` };
}

/** Reads `--proxy-mode`. With `--config`, kube-proxy ignores its other flags. */
function fromFlags({ words, from }: NonNullable<KubeProxySources['commandLine']>): KubeProxy | undefined {
  const { mode, byDefault } = parseMode(
    flagOf(words, 'config') === undefined ? flagOf(words, 'proxy-mode') : undefined,
  );
  if (mode === 'unknown') return undefined;
  return { mode, source: from, detail: byDefault ? '--proxy-mode names none' : '--proxy-mode says so' };
}

/** Returns the value of a flag, even inside the command line of a shell. */
function flagOf(words: readonly string[], flag: string): string | undefined {
  const all = words.flatMap((word) => word.slice(0, 10_000).split(/\s+/));
  for (const [index, word] of all.entries()) {
    const [, name, value] = /^--?([a-z-]+)(?:=(.*))?$/.exec(word) ?? [];
    if (name === flag) return value ?? all[index + 1] ?? '';
  }
  return undefined;
}

/** Parses kube-proxy's own name of a mode; an empty one means the default. */
function parseMode(mode: unknown): Pick<KubeProxy, 'mode'> & { readonly byDefault: boolean } {
  if (mode === '' || mode === null) return { mode: 'iptables', byDefault: true };
  return { mode: MODES.find((known) => known === mode) ?? 'unknown', byDefault: false };
}

const MODES = ['iptables', 'ipvs', 'nftables'] as const;

/** A ConfigMap may hold 1 MiB; kube-proxy's takes about 2 KiB. */
const MOST_TEXT = 256 * 1024;
