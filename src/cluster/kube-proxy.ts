import type { KubeProxySources } from '../exposure/kube-proxy.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import { by, getOne, listAll, stringData } from '../kubernetes/lists.ts';
import { type Labels, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { podSeen, type PodSeen } from './pod-seen.ts';

const KEYS = ['config.conf', 'config', 'kube-proxy.yaml'] as const;

/** A ConfigMap without a known key counts as one that cannot be parsed, not as a missing one. */
function configOf(data: Labels | undefined, name: string): KubeProxySources['config'] {
  if (data === undefined) return undefined;
  const key = KEYS.find((one) => data[one] !== undefined) ?? KEYS[0];
  return { text: data[key] ?? '', from: `ConfigMap kube-system/${name}`, key };
}

/**
 * Reads how kube-proxy is configured. kubeadm and kind: config.conf of ConfigMap kube-proxy. EKS: config of
 * kube-proxy-config. GKE and others: the flags of the Pods. Cilium: its own ConfigMap. Failed reads are returned in
 * `unread`; rejects with the abort reason if the client's calls are aborted.
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
  const configMap = (name: string): Promise<Labels | undefined> =>
    attempt(getOne(client, resourcePath(RESOURCES.configMaps, name, 'kube-system'), by(stringData, 'ConfigMap')));
  const pods = (labelSelector: string): Promise<readonly PodSeen[] | undefined> =>
    attempt(listAll(client, RESOURCES.pods, { namespace: 'kube-system', labelSelector, most: 1 }, podSeen));
  const [kubeadm, eks, cilium, byApp, byComponent] = await Promise.all([
    configMap('kube-proxy'),
    configMap('kube-proxy-config'),
    configMap('cilium-config'),
    pods('k8s-app=kube-proxy'),
    pods('component=kube-proxy'),
  ]);
  const config = configOf(kubeadm, 'kube-proxy') ?? configOf(eks, 'kube-proxy-config');
  const pod = byApp?.[0] ?? byComponent?.[0];
  const words = pod?.view.containers.flatMap(({ command, args }) => [...command, ...args]) ?? [];
  const replaces = cilium?.['kube-proxy-replacement'];
  return {
    ...(config !== undefined && { config }),
    ...(replaces !== undefined && { cilium: replaces }),
    ...(pod !== undefined && { commandLine: { words, from: `Pod kube-system/${pod.name}` } }),
    unread,
  };
}
