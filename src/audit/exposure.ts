import type { KernelLevel } from '../exposure/kernels.ts';
import type { KubeProxy } from '../exposure/kube-proxy.ts';
import type { ClusterFacts, ResolvConf } from '../policy/model.ts';
import type { Resolver } from '../policy/verdict.ts';
import { readByGlibc, readByMusl } from '../resolv-conf/resolvers.ts';
import { isLinkLocal } from '../util/ip.ts';
import type { ExposureLevel, WorkloadExposure } from './report/report.ts';

export interface ExposureInput {
  /** The resolvers of the Pod's containers. */
  readonly resolvers: readonly Resolver[];
  /** The resolv.conf of its containers. */
  readonly file: ResolvConf;
  /** True if that is the node's own file: dnsPolicy Default, or ClusterFirst with hostNetwork. */
  readonly nodeFile: boolean;
  readonly cluster: Pick<ClusterFacts, 'dns' | 'nodeLocal'>;
  readonly kubeProxy: KubeProxy;
  /** The worst kernel of the nodes that its Pods run on. */
  readonly kernel: { readonly level: KernelLevel; readonly kernel: string | undefined };
}

/** Milliseconds: a lost packet that is sent again within this time counts as mitigated. */
const SOON_MS = 1000;

interface Loss {
  readonly level: ExposureLevel;
  readonly detail: string;
}

const WORST: readonly ExposureLevel[] = ['yes', 'possible', 'mitigated', 'no'];

/** Reports whether the destination address of packets to this server is translated (DNAT). */
function isTranslated(server: string, { dns, nodeLocal }: ExposureInput['cluster']): boolean {
  return dns.includes(server) && !isLinkLocal(server) && nodeLocal !== 'intercepting';
}

/** Reports whether the resolver may send two packets at once from one socket to a translated address. */
function isRaced(resolver: Resolver, { file, cluster }: ExposureInput): boolean {
  const { atOnce, tcp } = readByGlibc(file);
  const first = isTranslated(file.servers[0] ?? '', cluster);
  // musl asks all servers at once and takes the first answer: one untranslated server is enough.
  const all = file.servers.length > 0 && file.servers.every((server) => isTranslated(server, cluster));
  const rules: Readonly<Record<Resolver, boolean>> = {
    glibc: first && atOnce,
    musl: all,
    go: false,
    // Of glibc's options c-ares obeys only use-vc (docs/evidence.md).
    other: first && !tcp,
    unknown: all || (first && atOnce),
  };
  return rules[resolver];
}

/** Returns how a lost packet affects a container; undefined if it cannot lose one. */
function lossOf(resolver: Resolver, input: ExposureInput): Loss | undefined {
  if (!isRaced(resolver, input)) return undefined;
  if (resolver === 'musl') {
    const { resendMs } = readByMusl(input.file);
    if (resendMs > 0 && resendMs <= SOON_MS) {
      return { level: 'mitigated', detail: `musl sends a lost packet again after ${resendMs / 1000} s.` };
    }
  }
  const how = `A and AAAA leave at once from one socket, through the translated address ${input.file.servers[0] ?? ''}`;
  if (resolver === 'musl' || resolver === 'glibc') return { level: 'yes', detail: how };
  const reason = resolver === 'unknown' ? 'the resolver is not known' : 'the resolver is neither glibc, musl nor Go';
  return { level: 'possible', detail: `Perhaps (${reason}) ${how}` };
}

/** Adjusts the loss to the kernels and the kube-proxy mode between the Pods and the cluster DNS. */
function adjustedToPath(loss: Loss, { kernel, kubeProxy }: ExposureInput): WorkloadExposure {
  if (kubeProxy.mode === 'other') {
    return {
      level: 'no',
      detail: `Services are not kube-proxy's (${kubeProxy.detail}): conntrack does not translate them.`,
    };
  }
  if (kernel.level === 'fixed' && kubeProxy.mode === 'ipvs') {
    const unsure = 'with kube-proxy in ipvs mode: it is not shown that the fixes of the kernel hold there';
    return { level: 'possible', detail: `${loss.detail}, on kernel ${kernel.kernel} ${unsure}.` };
  }
  if (kernel.level === 'fixed') {
    return { level: 'no', detail: `The kernels of its nodes have the fixes of the race (${kernel.kernel}).` };
  }
  if (loss.level === 'mitigated') return loss;
  if (kernel.level === 'unknown') {
    const where = kernel.kernel === undefined ? 'on nodes that were not read' : `on kernel ${kernel.kernel}`;
    return { level: 'possible', detail: `${loss.detail}, ${where}: it is unknown whether it has the fixes.` };
  }
  const level = kubeProxy.mode === 'unknown' && loss.level === 'yes' ? 'possible' : loss.level;
  const unsure = kubeProxy.mode === 'unknown' ? '; whether kube-proxy translates it is not known' : '';
  return { level, detail: `${loss.detail}, on kernel ${kernel.kernel}, which lacks fixes of the race${unsure}.` };
}

function noLoss({ resolvers, file, cluster }: ExposureInput): string {
  if (resolvers.length === 0) return 'It has no containers.';
  if (cluster.nodeLocal === 'intercepting' && file.servers.some((server) => cluster.dns.includes(server))) {
    return 'The node-local DNS cache answers on the address of the cluster DNS: it is not translated.';
  }
  if (!file.servers.some((server) => isTranslated(server, cluster))) return 'It asks no translated address.';
  return resolvers.every((resolver) => resolver === 'go')
    ? "Go's resolver asks from two sockets: neither packet can lose."
    : 'Its resolvers do not send A and AAAA at once from one socket to a translated address.';
}

/** Reports whether the fault can affect a Pod as it runs today: the worst level among its containers. */
export function workloadExposure(input: ExposureInput): WorkloadExposure {
  if (input.nodeFile) return { level: 'no', detail: "It uses the node's resolv.conf, not the cluster DNS." };
  let worst: Loss | undefined;
  for (const resolver of input.resolvers) {
    const loss = lossOf(resolver, input);
    if (loss !== undefined && (worst === undefined || WORST.indexOf(loss.level) < WORST.indexOf(worst.level))) {
      worst = loss;
    }
  }
  return worst === undefined ? { level: 'no', detail: noLoss(input) } : adjustedToPath(worst, input);
}
