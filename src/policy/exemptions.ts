import type { PodView } from './model.ts';
import type { Reason } from './reasons.ts';
import { redirectedByUs } from './annotations.ts';

/** Set by the kubelet on the API's mirror of a static Pod (core/v1 MirrorPodAnnotationKey). */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/**
 * Reports whether decisions read the annotation of this name: ours and the kubelet's. Others may be large or unique to
 * a Pod.
 */
export const isAnnotationRead = (name: string): boolean =>
  name === MIRROR_ANNOTATION || name.startsWith('libc-dns.dev/');

const CLUSTER_POLICIES: readonly string[] = ['ClusterFirst', 'ClusterFirstWithHostNet'];

const OS_LABELS = ['kubernetes.io/os', 'beta.kubernetes.io/os'] as const;

const VIRTUAL_TOLERATIONS = ['virtual-kubelet.io/provider', 'azure.com/aci', 'eks.amazonaws.com/compute-type'] as const;

/** Labels of Pods that virtual nodes take. */
export const VIRTUAL_LABELS = ['eks.amazonaws.com/fargate-profile', 'alibabacloud.com/eci'] as const;

const isWindows = (pod: PodView): boolean =>
  pod.os === 'windows' || OS_LABELS.some((label) => pod.nodeSelector[label] === 'windows');

/** Returns why a Pod is left alone whatever runs in it; undefined if it is not. */
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

/** Reports whether a node of this name is a virtual one. */
export const isVirtualNode = (nodeName: string): boolean => /^(virtual-kubelet|virtual-node|fargate-)/.test(nodeName);

/**
 * Reports whether the Pod may run on a virtual node (Fargate, ACI, ECI, other virtual-kubelets), where DaemonSets such
 * as the node-local cache do not run. A toleration of everything, which DaemonSets have, does not count.
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
