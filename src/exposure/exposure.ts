import { compareText, counted, listed } from '../util/text.ts';
import { judgeKernel } from './kernels.ts';
import type { KubeProxy } from './kube-proxy.ts';

/** What decides whether a cluster's nodes can lose DNS packets. */
export interface ExposureSeen {
  /** Linux nodes by name, with `status.nodeInfo.kernelVersion` (see {@link linuxKernels}); undefined: not read. */
  readonly nodes: ReadonlyMap<string, string> | undefined;
  /** undefined: not read. */
  readonly kubeProxy: KubeProxy | undefined;
  /** DaemonSets that are known to use NFQUEUE (`nfqueue.ts`); undefined: not read. */
  readonly nfqueue: readonly string[] | undefined;
  /** Whether the node-local cache answers on the address of the cluster DNS. */
  readonly nodeLocalIntercepts: boolean;
}

/** Whether some node can lose DNS packets to the race, and why. */
export interface Exposure {
  readonly exposed: boolean;
  /** `node-local`, `cilium`, `fixed`: not exposed. `unread`: nodes, kube-proxy or DaemonSets are not known. */
  readonly because: 'node-local' | 'cilium' | 'fixed' | 'kernel' | 'ipvs' | 'nfqueue' | 'unread';
  /** A clause for people, without a full stop. */
  readonly detail: string;
  /** Number of nodes that make the cluster exposed; 0 if it is not exposed or no node was read. */
  readonly nodes: number;
  /** The first five of them by name. */
  readonly nodeNames: readonly string[];
}

/** The judgement while nothing is known yet. */
export const UNREAD: Exposure = {
  exposed: true,
  because: 'unread',
  detail: 'the nodes have not been read',
  nodes: 0,
  nodeNames: [],
};

/**
 * Judges whether some node can lose one of two DNS packets. What is not known counts as exposed: patching too many Pods does no harm,
 * and a Pod that was not patched stays so for life. The first rule that holds:
 *
 * | not exposed                                         | exposed                                                  |
 * | --------------------------------------------------- | -------------------------------------------------------- |
 * | the node-local cache answers on the service address | nodes not read, or no Linux node                         |
 * | Cilium stands in for kube-proxy                     | a kernel lacks a fix, or its version does not tell       |
 * |                                                     | kube-proxy's mode not known, or ipvs                     |
 * | else                                                | NFQUEUE in use, or not read, and a kernel before 6.12    |
 */
export function judgeExposure({ nodes, kubeProxy, nfqueue, nodeLocalIntercepts }: ExposureSeen): Exposure {
  if (nodeLocalIntercepts) {
    return notExposed('node-local', 'the node-local DNS cache answers on the address of the cluster DNS');
  }
  if (kubeProxy?.mode === 'other') return notExposed('cilium', kubeProxy.detail);
  if (nodes === undefined) return UNREAD;
  if (nodes.size === 0) return { ...UNREAD, detail: 'there is no Linux node yet' };
  const unfixed = nodesWith(nodes, (kernel) => judgeKernel(kernel).level !== 'fixed');
  if (unfixed.names.length > 0) {
    const { names, kernels } = unfixed;
    const lacks = 'that lacks a fix of the race, or may lack one';
    const detail = `${counted(names.length, 'node runs', 'nodes run')} a kernel ${lacks} (${someKernels(kernels)})`;
    return exposedBy('kernel', detail, names);
  }
  const mode = judgeMode(kubeProxy, () => [...nodes.keys()].toSorted(compareText));
  const all = nodes.size === 1 ? 'the one Linux node has' : `all ${nodes.size} Linux nodes have`;
  return (
    mode ?? judgeNfqueue(nodes, nfqueue) ?? notExposed('fixed', `${all} kernels with the fixes of all three races`)
  );
}

interface NodeFields {
  readonly name: string;
  readonly os: string;
  readonly kernel: string;
}

/** Returns the kernels of nodes by name. Windows nodes are left out: this fault is Linux'. */
export function linuxKernels(nodes: readonly NodeFields[]): ReadonlyMap<string, string> {
  return new Map(nodes.filter(({ os }) => os !== 'windows').map(({ name, kernel }) => [name, kernel]));
}

/** Says what `exposure: always` or `auto` comes to with this judgement, without a full stop. */
export function settingText(setting: 'always' | 'auto', { exposed, detail }: Exposure): string {
  if (setting === 'auto') return `auto: ${exposed ? 'Pods are patched' : 'no Pod is patched'}: ${detail}`;
  const withAuto = exposed ? 'with auto they would be too' : 'with auto none would be';
  return `always: Pods are patched; ${withAuto}: ${detail}`;
}

/** Lists the nodes that make the cluster exposed: `n1, n2 and 3 more`; empty if there are none. */
export function exposingNodes({ nodes, nodeNames }: Exposure): string {
  return `${nodeNames.join(', ')}${nodes > nodeNames.length ? ` and ${nodes - nodeNames.length} more` : ''}`;
}

const MOST_NAMES = 5;

/** Lists the first three kernels. */
function someKernels(kernels: ReadonlySet<string>): string {
  const names = [...kernels].toSorted(compareText).map((kernel) => kernel || '(no version)');
  return listed(names, 3);
}

/** Finds the nodes whose kernel is `chosen`; each kernel is judged once. */
function nodesWith(nodes: ReadonlyMap<string, string>, chosen: (kernel: string) => boolean) {
  const kernels = new Set([...new Set(nodes.values())].filter(chosen));
  const names = [...nodes].filter(([, kernel]) => kernels.has(kernel)).map(([name]) => name);
  return { kernels, names: names.toSorted(compareText) };
}

const notExposed = (because: Exposure['because'], detail: string): Exposure => ({
  exposed: false,
  because,
  detail,
  nodes: 0,
  nodeNames: [],
});

function exposedBy(because: Exposure['because'], detail: string, names: readonly string[]): Exposure {
  return { exposed: true, because, detail, nodes: names.length, nodeNames: names.slice(0, MOST_NAMES) };
}

const lacksNfqueueFix = (kernel: string): boolean =>
  judgeKernel(kernel).fixes.some(({ race, state }) => race === 'nfqueue' && state !== 'present');

function judgeNfqueue(nodes: ReadonlyMap<string, string>, nfqueue: ExposureSeen['nfqueue']): Exposure | undefined {
  if (nfqueue?.length === 0) return undefined;
  const { names, kernels } = nodesWith(nodes, lacksNfqueueFix);
  if (names.length === 0) return undefined;
  const where = `${counted(names.length, 'node has', 'nodes have')} a kernel before 6.12 (${someKernels(kernels)})`;
  if (nfqueue === undefined) {
    return exposedBy('unread', `${where}, and whether a DaemonSet uses NFQUEUE has not been read`, names);
  }
  const users = nfqueue.length > 1 ? `${nfqueue[0]} and ${nfqueue.length - 1} more use` : `${nfqueue[0]} uses`;
  return exposedBy('nfqueue', `${where}, and ${users} NFQUEUE`, names);
}

/** Judges kube-proxy's mode where every kernel has the fixes. */
function judgeMode(kubeProxy: KubeProxy | undefined, names: () => readonly string[]): Exposure | undefined {
  if (kubeProxy === undefined) return exposedBy('unread', 'the mode of kube-proxy has not been read', names());
  const { mode, source, detail } = kubeProxy;
  if (mode === 'unknown') {
    return exposedBy('unread', `the mode of kube-proxy is unknown (${source}: ${detail})`, names());
  }
  const ipvs = 'kube-proxy is in ipvs mode, and it is not shown that the fixes of the kernels hold there';
  return mode === 'ipvs' ? exposedBy('ipvs', ipvs, names()) : undefined;
}
