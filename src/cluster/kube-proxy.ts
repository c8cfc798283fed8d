import type { KubeProxySources } from '../exposure/kube-proxy.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import { by, getOne, listAll, stringData } from '../kubernetes/lists.ts';
import { type Labels, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { podSeen, type PodSeen } from './pod-seen.ts';

const KEYS = ['config.conf', 'config', 'kube-proxy.yaml'] as const;

/** One that holds nothing is one that is not understood, not one that is not there. */
function configOf(data: Labels | undefined, name: string): KubeProxySources['config'] {
  if (data === undefined) return undefined;
  const key = KEYS.find((one) => data[one] !== undefined) ?? KEYS[0];
  return { text: data[key] ?? '', from: `ConfigMap kube-system/${name}`, key };
}

/**
 * kubeadm and kind: config.conf of ConfigMap kube-proxy. EKS: config of kube-proxy-config. GKE and others: flags of the
 * Pods. Cilium: its own ConfigMap. What cannot be read is told; rejects where the caller ends the calls.
 */
export async function readKubeProxy(client: Pick<KubeClient, 'request'>): Promise<KubeProxySources> {
  const unread: KubeError[] = [];
  const attempt = async <T>(read: Promise<T>): Promise<T | undefined> => {
    try {
      return await read;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      unread.push(error);
      return undefined;
    }
  };
  const map = (name: string): Promise<Labels | undefined> =>
    attempt(getOne(client, resourcePath(RESOURCES.configMaps, name, 'kube-system'), by(stringData, 'ConfigMap')));
  const pods = (labelSelector: string): Promise<readonly PodSeen[] | undefined> =>
    attempt(listAll(client, RESOURCES.pods, { namespace: 'kube-system', labelSelector, most: 1 }, podSeen));
  const [kubeadm, eks, cilium, some, others] = await Promise.all([
    map('kube-proxy'),
    map('kube-proxy-config'),
    map('cilium-config'),
    pods('k8s-app=kube-proxy'),
    pods('component=kube-proxy'),
  ]);
  const config = configOf(kubeadm, 'kube-proxy') ?? configOf(eks, 'kube-proxy-config');
  const pod = some?.[0] ?? others?.[0];
  const words = pod?.view.containers.flatMap(({ command, args }) => [...command, ...args]) ?? [];
  const replaces = cilium?.['kube-proxy-replacement'];
  return {
    ...(config !== undefined && { config }),
    ...(replaces !== undefined && { cilium: replaces }),
    ...(pod !== undefined && { commandLine: { words, from: `Pod kube-system/${pod.name}` } }),
    unread,
  };
}
