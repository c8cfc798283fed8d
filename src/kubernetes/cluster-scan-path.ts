import type { Gap, KubeProxy } from '../audit/report.ts';
import { readKubeProxy } from '../cluster/kube-proxy.ts';
import { kubeProxyOf } from '../exposure/kube-proxy.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './errors.ts';
import { resourcePath, RESOURCES } from './objects.ts';

export interface PathOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly signal: AbortSignal;
}

const GRANT = 'get configmaps kube-proxy, kube-proxy-config, cilium-config, and list pods, in kube-system';

/** Who translates Service addresses; a gap where that is not known because it could not be read. */
export async function scanKubeProxy({ client, signal }: PathOptions, gaps: Gap[]): Promise<KubeProxy> {
  const sources = await readKubeProxy({ request: (asked) => client.request({ ...asked, signal }) });
  const kubeProxy = kubeProxyOf(sources);
  const [error] = sources.unread;
  if (kubeProxy.mode === 'unknown' && error !== undefined) {
    gaps.push({ what: 'kube-proxy in kube-system', message: error.message, grant: GRANT });
  }
  return kubeProxy;
}

interface ServicePorts {
  readonly spec?: { readonly ports?: readonly { readonly port?: unknown; readonly protocol?: unknown }[] | null };
}

/** Whether the DNS Service (`namespace/name`) has port 53 over TCP; undefined where that cannot be read. */
export async function readDnsTcpPort(options: PathOptions, service: string): Promise<boolean | undefined> {
  const [namespace = '', name = ''] = service.split('/', 2);
  try {
    const path = resourcePath(RESOURCES.services, name, namespace);
    const { spec } = await options.client.request<ServicePorts>({ path, signal: options.signal });
    return (spec?.ports ?? []).some(({ port, protocol = 'TCP' }) => port === 53 && protocol === 'TCP');
  } catch (error) {
    if (error instanceof KubeError) return undefined;
    throw error;
  }
}
