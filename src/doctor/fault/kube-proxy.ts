import type { KubeProxy } from '../../audit/report/report.ts';
import { kubeProxyOf, type KubeProxySources } from '../../exposure/kube-proxy.ts';
import { ok, type Outcome, skipped } from '../check.ts';
import { why } from '../why.ts';

const BY_CONNTRACK = 'Services are translated by conntrack, so the fixes of the kernels matter';

const MEANING: Readonly<Record<Exclude<KubeProxy['mode'], 'unknown'>, string>> = {
  iptables: BY_CONNTRACK,
  ipvs: `${BY_CONNTRACK}; a node-local cache has to be asked by its own address`,
  nftables: BY_CONNTRACK,
  other:
    'Services are translated by Cilium, mostly before there is a packet: the race of conntrack does not come about there',
};

const LOOK = {
  text: 'Look on a node:',
  command: 'curl -s http://localhost:10249/proxyMode',
};

/** How kube-proxy, or what stands in for it, translates the address of the cluster DNS. */
export function judgeKubeProxy(sources: KubeProxySources): Outcome {
  const { mode, source, detail } = kubeProxyOf(sources);
  if (mode === 'unknown') {
    const unread = [...new Set(sources.unread.map(why))].join('; ');
    return skipped(`the mode of kube-proxy is not known: ${unread || detail}`, { advice: [LOOK] });
  }
  const details = [MEANING[mode]];
  if (mode === 'other')
    return ok(`Cilium replaces kube-proxy (${source})`, { details, data: { mode: 'ebpf', source } });
  return ok(`${mode} mode (${source}: ${detail})`, { details, data: { mode, source } });
}
