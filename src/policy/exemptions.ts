import type { PodView } from './model.ts';
import type { Reason } from './reasons.ts';
import { redirectedByUs } from './annotations.ts';

/** Set by the kubelet on the API's mirror of a static Pod (core/v1 MirrorPodAnnotationKey). */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** Whether a decision may read a Pod's annotation of this name: ours and the kubelet's. The rest may be large, and each Pod's own. */
export const isAnnotationRead = (name: string): boolean =>
  name === MIRROR_ANNOTATION || name.startsWith('libc-dns.dev/');

const CLUSTER_POLICIES: readonly string[] = ['ClusterFirst', 'ClusterFirstWithHostNet'];

const OS_LABELS = ['kubernetes.io/os', 'beta.kubernetes.io/os'] as const;

const VIRTUAL_TOLERATIONS = ['virtual-kubelet.io/provider', 'azure.com/aci', 'eks.amazonaws.com/compute-type'] as const;

/** Labels of Pods that virtual nodes take. */
export const VIRTUAL_LABELS = ['eks.amazonaws.com/fargate-profile', 'alibabacloud.com/eci'] as const;

const isWindows = (pod: PodView): boolean =>
  pod.os === 'windows' || OS_LABELS.some((label) => pod.nodeSelector[label] === 'windows');

/** A Pod that is left alone whatever runs in it, with the reason; undefined where it is to be looked at. */
export function exemption(pod: PodView): Reason | undefined {
  if (pod.containers.length === 0) return 'NoContainers';
  if (isWindows(pod)) return 'Windows';
  if (MIRROR_ANNOTATION in pod.annotations) return 'MirrorPod';
  if (pod.dnsPolicy === 'None') return redirectedByUs(pod) ? undefined : 'PolicyNone';
  if (pod.dnsPolicy === 'Default') return 'PolicyDefault';
  if (!CLUSTER_POLICIES.includes(pod.dnsPolicy)) return 'MalformedPod';
  // kubelet getPodDNSType: ClusterFirst on the host's network is Default.
  if (pod.hostNetwork && pod.dnsPolicy === 'ClusterFirst') return 'HostNetwork';
  return undefined;
}

/** Whether a node of this name is a virtual one. */
export const isVirtualNode = (nodeName: string): boolean => /^(virtual-kubelet|virtual-node|fargate-)/.test(nodeName);

/**
 * Whether the Pod may land on a virtual node (Fargate, ACI, ECI, other virtual-kubelets), where DaemonSets such as the
 * node-local cache do not run. A toleration of everything, as DaemonSets have it, is no sign.
 */
export function mayRunOnVirtualNode(pod: PodView): boolean {
  return (
    pod.nodeSelector['type'] === 'virtual-kubelet' ||
    pod.nodeSelector['eks.amazonaws.com/compute-type'] === 'fargate' ||
    pod.schedulerName === 'fargate-scheduler' ||
    isVirtualNode(pod.nodeName) ||
    VIRTUAL_LABELS.some((label) => label in pod.labels && pod.labels[label] !== 'false') ||
    pod.tolerations.some(({ key }) => VIRTUAL_TOLERATIONS.some((known) => known === key))
  );
}
