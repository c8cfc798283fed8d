import type { KubeProxySources, Labels, PodSeen } from '../doctor/cluster-view.ts';
import { why } from '../doctor/why.ts';
import type { KubeClient } from './client.ts';
import { by, getOne, listAll } from './doctor-list.ts';
import * as objects from './doctor-objects.ts';
import { podSeen } from './doctor-pods.ts';
import { resourcePath, type Resource } from './objects.ts';

const core = (plural: string): Resource => ({ group: '', version: 'v1', plural });

const KEYS = ['config.conf', 'config', 'kube-proxy.yaml'] as const;

function textOf(data: Labels | undefined, name: string): KubeProxySources['config'] {
  const text = KEYS.map((key) => data?.[key]).find((value) => value !== undefined);
  return text === undefined ? undefined : { text, from: `ConfigMap kube-system/${name}` };
}

/** kubeadm: config.conf of ConfigMap kube-proxy. EKS: config of kube-proxy-config. GKE and others: flags of the Pods. */
export async function kubeProxy(client: Pick<KubeClient, 'request'>): Promise<KubeProxySources> {
  const unread = new Set<string>();
  const attempt = async <T>(read: () => Promise<T | undefined>): Promise<T | undefined> =>
    await read().catch((error: unknown) => {
      unread.add(why(error));
      return undefined;
    });
  const map = (name: string): Promise<Labels | undefined> =>
    attempt(() => getOne(client, resourcePath(core('configmaps'), name, 'kube-system'), by(objects.data, 'ConfigMap')));
  const pods = (labelSelector: string): Promise<readonly PodSeen[] | undefined> =>
    attempt(() => listAll(client, core('pods'), { namespace: 'kube-system', labelSelector, most: 1 }, podSeen));
  const [kubeadm, eks, cilium, some, others] = await Promise.all([
    map('kube-proxy'),
    map('kube-proxy-config'),
    map('cilium-config'),
    pods('k8s-app=kube-proxy'),
    pods('component=kube-proxy'),
  ]);
  const config = textOf(kubeadm, 'kube-proxy') ?? textOf(eks, 'kube-proxy-config');
  const pod = some?.[0] ?? others?.[0];
  const words = pod?.view.containers.flatMap(({ command, args }) => [...command, ...args]) ?? [];
  const replaces = cilium?.['kube-proxy-replacement'];
  return {
    ...(config !== undefined && { config }),
    ...(replaces !== undefined && { cilium: replaces }),
    ...(pod !== undefined && { commandLine: { words, from: `Pod kube-system/${pod.name}` } }),
    unread: [...unread],
  };
}
