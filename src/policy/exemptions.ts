import type { NamespaceView, PodView } from './model.ts';
import type { Reason } from './reasons.ts';
import { redirectedByUs } from './annotations.ts';
import { MODE_LABEL } from './scope.ts';

/** Set by the kubelet on the API's mirror of a static Pod (core/v1 MirrorPodAnnotationKey). */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

const OS_LABELS = ['kubernetes.io/os', 'beta.kubernetes.io/os'] as const;

/** Taints of virtual nodes; the Pods on them tolerate these. */
const VIRTUAL_TAINTS: readonly string[] = [
  // Virtual Kubelet's own (virtual-kubelet.io/docs): Alibaba, Baidu and Huawei Cloud have it too.
  'virtual-kubelet.io/provider',
  'azure.com/aci',
  'eks.amazonaws.com/compute-type',
  // help.aliyun.com/document_detail/363067.html
  'k8s.aliyun.com/vnode',
  // tencentcloud.com/document/product/457/40027
  'eks.tke.cloud.tencent.com/eklet',
  // volcengine.com/docs/6460/1159231
  'vci.vke.volcengine.com/node-type',
  // github.com/liqotech/liqo: VKUBELET_TAINT_KEY of its virtual kubelet
  'virtual-node.liqo.io/not-allowed',
  // github.com/interlink-hq/interLink: its example Pods
  'virtual-node.interlink/no-schedule',
];

/** Labels of virtual nodes, by which Pods choose them. */
const VIRTUAL_NODES: readonly (readonly [key: string, value: string])[] = [
  ['type', 'virtual-kubelet'],
  ['eks.amazonaws.com/compute-type', 'fargate'],
  ['k8s.aliyun.com/vnode', 'true'],
  // tencentcloud.com/document/product/457/45561
  ['node.kubernetes.io/instance-type', 'eklet'],
  ['vci.vke.volcengine.com/node-type', 'vci'],
  // github.com/liqotech/liqo/blob/v0.10.0/docs/features/offloading.md
  ['liqo.io/type', 'virtual-node'],
  ['virtual-node.interlink/type', 'virtual-kubelet'],
  // Oracle's OKE: github.com/opencost/opencost/blob/develop/pkg/cloud/oracle/provider.go
  ['node-role.kubernetes.io/virtual-node', ''],
];

/** Labels and annotations of Pods that virtual nodes take. */
const VIRTUAL_MARKS: readonly string[] = [
  'eks.amazonaws.com/fargate-profile',
  // alibabacloud.com/help/tc/eci/user-guide/schedule-pods-to-virtual-kubelet
  'alibabacloud.com/eci',
  // alibabacloud.com/help/en/cs/user-guide/access-acs-computing-power-in-an-ack-cluster
  'alibabacloud.com/acs',
  // support.huaweicloud.com/intl/en-us/usermanual-cci/cci_01_0116.html and usermanual-cci2/cci_01_0026.html
  'virtual-kubelet.io/burst-to-cci',
  'bursting.cci.io/burst-to-cci',
  // A label: github.com/volcengine/volcengine-vci-admission. An annotation:
  // docs.byteplus.com/ja/docs/vke/Using-VCI-by-configuring-vci-profile
  'vke.volcengine.com/burst-to-vci',
];

/** The same page's older label, a name that others may use otherwise. */
const ECI_MARK = 'eci';

/** Annotations that say how big a Pod is on a super node, and the like (tencentcloud.com/document/product/457/36162). */
const TENCENT_MARKS = 'eks.tke.cloud.tencent.com/';

const VIRTUAL_NODE_NAME = /^(virtual-kubelet|virtual-node|fargate-|eklet-|bursting-node)/;

/**
 * Part of the rules of {@link mayRunOnVirtualNode}, for the API server's own policy: taints, labels of nodes (`key=value`), and labels or
 * annotations of Pods.
 */
export const VIRTUAL = {
  taints: VIRTUAL_TAINTS,
  nodes: VIRTUAL_NODES.map(([key, value]) => `${key}=${value}`),
  marks: VIRTUAL_MARKS,
  /** Counts as a mark if its value is true. */
  trueMark: ECI_MARK,
  markPrefix: TENCENT_MARKS,
  nodeName: VIRTUAL_NODE_NAME.source,
} as const;

const isVirtualMark = (name: string): boolean =>
  VIRTUAL_MARKS.includes(name) || name === ECI_MARK || name.startsWith(TENCENT_MARKS);

/** ACK's older label of namespaces for ECI (the documentation of ack-virtual-node). */
const ECI_INJECTION = 'virtual-node-affinity-injection';

const NAMESPACE_LABELS: readonly string[] = [MODE_LABEL, 'alibabacloud.com/eci', ECI_MARK, ECI_INJECTION];

/** Returns the labels of a namespace that decisions read, always in the same order. */
export function namespaceLabelsRead(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const read: Record<string, string> = {};
  for (const name of NAMESPACE_LABELS) if (labels[name] !== undefined) read[name] = labels[name];
  return read;
}

/** Reports whether decisions read a Pod's label of this name. */
export const isLabelRead = (name: string): boolean => name === MODE_LABEL || isVirtualMark(name);

/**
 * Reports whether decisions read the annotation of this name: ours, the kubelet's and those for virtual nodes. Others may
 * be large or unique to a Pod.
 */
export const isAnnotationRead = (name: string): boolean =>
  name === MIRROR_ANNOTATION || name.startsWith('libc-dns.dev/') || isVirtualMark(name);

/**
 * The name of a RuntimeClass does not count. The API server adds the nodeSelector of a Pod's RuntimeClass before it calls webhooks
 * (`AllOrderedPlugins` in pkg/kubeapiserver/options/plugins.go), and Windows ignores what we would patch.
 */
const isWindows = (pod: PodView): boolean =>
  pod.os === 'windows' ||
  OS_LABELS.some((label) => pod.nodeSelector[label] === 'windows' || allowsOnly(pod, label, 'windows'));

/** Reports whether every term of the required node affinity allows this value of a label alone. */
function allowsOnly({ nodeAffinity }: PodView, label: string, value: string): boolean {
  const demands = (term: PodView['nodeAffinity'][number]): boolean =>
    term.some(({ key, values }) => key === label && values.length > 0 && values.every((one) => one === value));
  return nodeAffinity.length > 0 && nodeAffinity.every(demands);
}

/** Returns why a Pod is left alone whatever runs in it; undefined if it is not. */
export function exemption(pod: PodView): Reason | undefined {
  if (pod.containers.length === 0) return 'NoContainers';
  if (isWindows(pod)) return 'Windows';
  if (MIRROR_ANNOTATION in pod.annotations) return 'MirrorPod';
  if (pod.dnsPolicy === 'None') return redirectedByUs(pod) ? undefined : 'PolicyNone';
  if (pod.dnsPolicy === 'Default') return 'PolicyDefault';
  // kubelet getPodDNSType: ClusterFirst on the host's network is Default.
  if (pod.hostNetwork && pod.dnsPolicy === 'ClusterFirst') return 'HostNetwork';
  return undefined;
}

/** Reports whether a node of this name is a virtual one. */
export const isVirtualNode = (nodeName: string): boolean => VIRTUAL_NODE_NAME.test(nodeName);

/**
 * Reports whether the Pod may run on a virtual node (Fargate, ACI, ECI, super nodes, CCI, VCI, ACS, OKE, Liqo, interLink,
 * other virtual-kubelets), where DaemonSets such as the node-local cache do not run. A toleration of everything, which DaemonSets
 * have, does not count.
 */
export function mayRunOnVirtualNode(pod: PodView, namespace: NamespaceView): boolean {
  return (
    sendsToVirtualNodes(namespace) ||
    VIRTUAL_NODES.some(([key, value]) => pod.nodeSelector[key] === value) ||
    pod.nodeAffinity
      .flat()
      .some(({ key, values }) => VIRTUAL_NODES.some(([known, value]) => key === known && values.includes(value))) ||
    pod.schedulerName === 'fargate-scheduler' ||
    isVirtualNode(pod.nodeName) ||
    marksVirtual(pod.labels) ||
    marksVirtual(pod.annotations) ||
    pod.tolerations.some(({ key }) => VIRTUAL_TAINTS.includes(key))
  );
}

/**
 * ACK schedules all new Pods of a namespace with one of these labels to ECI
 * (help.aliyun.com/en/eci/user-guide/schedule-pods-to-virtual-kubelet), and does not redirect them to its node-local cache.
 */
const sendsToVirtualNodes = ({ labels }: NamespaceView): boolean =>
  labels['alibabacloud.com/eci'] === 'true' || labels[ECI_MARK] === 'true' || labels[ECI_INJECTION] === 'enabled';

function marksVirtual(map: Readonly<Record<string, string>>): boolean {
  const isOn = (name: string): boolean => map[name] !== undefined && map[name] !== 'false' && map[name] !== 'off';
  return (
    VIRTUAL_MARKS.some(isOn) ||
    map[ECI_MARK] === 'true' ||
    Object.keys(map).some((name) => name.startsWith(TENCENT_MARKS))
  );
}
