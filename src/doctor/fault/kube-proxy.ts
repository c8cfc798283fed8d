import { ok, skipped, type Outcome } from '../check.ts';
import type { KubeProxySources } from '../cluster-view.ts';

/** How Services are translated. `ebpf`: before a packet is made, or outside of conntrack. */
export type ProxyMode = 'iptables' | 'ipvs' | 'nftables' | 'ebpf';

interface Found {
  readonly mode: ProxyMode;
  readonly from: string;
}

const MODES: readonly string[] = ['iptables', 'ipvs', 'nftables'];

function named(mode: string | undefined, from: string): Found | undefined {
  // Empty: iptables is kube-proxy's own choice on Linux.
  if (mode === '') return { mode: 'iptables', from: `${from}, by default` };
  return mode !== undefined && MODES.includes(mode) ? { mode: mode as ProxyMode, from } : undefined;
}

/** `mode:` at the top of a KubeProxyConfiguration; a whole YAML parser would read more of a file that is not ours. */
function modeOf(config: string): string | undefined {
  const line = /^mode:[ \t]*(.*)$/m.exec(config.slice(0, 200_000));
  const value = line?.[1]?.replace(/\s+#.*$/, '').trim();
  if (value === undefined) return /^kind:\s*KubeProxyConfiguration/m.test(config) ? '' : undefined;
  return value === 'null' || value === '~' ? '' : value.replaceAll(/^["']|["']$/g, '');
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

/** The mode, and where that is written. With `--config`, kube-proxy does not look at its other flags. */
export function proxyMode({ cilium, config, commandLine }: KubeProxySources): Found | undefined {
  if (cilium === 'true' || cilium === 'strict') {
    return { mode: 'ebpf', from: 'kube-proxy-replacement of ConfigMap kube-system/cilium-config' };
  }
  const flags = commandLine?.words ?? [];
  const flag =
    flagOf(flags, 'config') === undefined ? named(flagOf(flags, 'proxy-mode'), commandLine?.from ?? '') : undefined;
  return flag ?? named(config && modeOf(config.text), config?.from ?? '');
}

const MEANING: Readonly<Record<ProxyMode, string>> = {
  iptables: 'Services are translated by conntrack, so the fixes of the kernels matter',
  ipvs: 'Services are translated by conntrack, so the fixes of the kernels matter; a node-local cache has to be asked by its own address',
  nftables: 'Services are translated by conntrack, so the fixes of the kernels matter',
  ebpf: 'Services are translated by Cilium, mostly before there is a packet: the race of conntrack does not come about there',
};

const LOOK = {
  text: 'Look on a node:',
  command: 'curl -s http://localhost:10249/proxyMode',
};

/** How kube-proxy, or what stands in for it, translates the address of the cluster DNS. */
export function judgeKubeProxy(sources: KubeProxySources): Outcome {
  const found = proxyMode(sources);
  if (found === undefined) {
    const why =
      sources.unread.length > 0 ? `: ${sources.unread.join('; ')}` : ': neither its ConfigMap nor its Pods say it';
    return skipped(`the mode of kube-proxy is not known${why}`, { advice: [LOOK] });
  }
  const { mode, from } = found;
  const name = mode === 'ebpf' ? 'Cilium replaces kube-proxy' : `${mode} mode`;
  return ok(`${name} (${from})`, { details: [MEANING[mode]], data: { mode, source: from } });
}
