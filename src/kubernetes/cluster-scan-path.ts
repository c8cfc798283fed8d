import { parse } from 'yaml';

import type { Gap } from '../audit/report.ts';
import type { KubeProxy } from '../audit/scanned.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './kube-error.ts';
import { resourcePath, type Resource } from './objects.ts';

export interface PathOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly signal: AbortSignal;
}

const CONFIG_MAPS: Resource = { group: '', version: 'v1', plural: 'configmaps' };
const SERVICES: Resource = { group: '', version: 'v1', plural: 'services' };

/** ConfigMaps of kube-proxy, and the key that holds its configuration: kubeadm and kind; Amazon EKS. */
const KUBE_PROXY = [
  { name: 'kube-proxy', key: 'config.conf' },
  { name: 'kube-proxy-config', key: 'config' },
] as const;

type Data = Readonly<Record<string, unknown>>;

async function configMap({ client, signal }: PathOptions, name: string): Promise<Data | undefined> {
  try {
    const path = resourcePath(CONFIG_MAPS, name, 'kube-system');
    const { data } = await client.request<{ data?: Data | null }>({ path, signal });
    return data ?? {};
  } catch (error) {
    if (error instanceof KubeError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration `mode`: empty is iptables on Linux. */
export function modeOf(configuration: unknown): KubeProxy['mode'] {
  let value: unknown;
  try {
    value = parse(typeof configuration === 'string' ? configuration : '', { maxAliasCount: 10 });
  } catch {
    return 'unknown';
  }
  if (typeof value !== 'object' || value === null) return 'unknown';
  const { mode = '' } = value as { mode?: unknown };
  if (mode === '' || mode === null) return 'iptables';
  return mode === 'iptables' || mode === 'ipvs' || mode === 'nftables' ? mode : 'unknown';
}

/** Cilium's own setting for taking kube-proxy's place (its ConfigMap, `kube-proxy-replacement`). */
function ofCilium(data: Data | undefined): KubeProxy | undefined {
  const value = data?.['kube-proxy-replacement'];
  if (value !== 'true' && value !== 'strict') return undefined;
  const source = 'configmap kube-system/cilium-config';
  return { mode: 'other', source, detail: `Cilium stands in for kube-proxy (kube-proxy-replacement ${value})` };
}

/** Who translates Service addresses, and how, from ConfigMaps of kube-system. */
export async function readKubeProxy(options: PathOptions, gaps: Gap[]): Promise<KubeProxy> {
  try {
    const cilium = ofCilium(await configMap(options, 'cilium-config'));
    if (cilium !== undefined) return cilium;
    for (const { name, key } of KUBE_PROXY) {
      const data = await configMap(options, name);
      if (data === undefined) continue;
      const source = `configmap kube-system/${name}`;
      const mode = modeOf(data[key]);
      return { mode, source, detail: mode === 'unknown' ? `its ${key} is not understood` : `${key} says so` };
    }
    return { mode: 'unknown', source: 'kube-system', detail: 'no ConfigMap of kube-proxy or Cilium was found' };
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    const what = 'configmaps in kube-system';
    gaps.push({ what, message: error.message, grant: 'get configmaps kube-proxy, kube-proxy-config, cilium-config' });
    return { mode: 'unknown', source: 'kube-system', detail: 'its ConfigMap could not be read' };
  }
}

interface ServicePorts {
  readonly spec?: { readonly ports?: readonly { readonly port?: unknown; readonly protocol?: unknown }[] | null };
}

/** Whether the DNS Service (`namespace/name`) has port 53 over TCP; undefined where that cannot be read. */
export async function readDnsTcpPort(options: PathOptions, service: string): Promise<boolean | undefined> {
  const [namespace = '', name = ''] = service.split('/', 2);
  try {
    const path = resourcePath(SERVICES, name, namespace);
    const { spec } = await options.client.request<ServicePorts>({ path, signal: options.signal });
    return (spec?.ports ?? []).some(({ port, protocol = 'TCP' }) => port === 53 && protocol === 'TCP');
  } catch (error) {
    if (error instanceof KubeError) return undefined;
    throw error;
  }
}
