import { readNfqueueUsers } from '../../cluster/exposure.ts';
import { readKubeProxy } from '../../cluster/kube-proxy.ts';
import type { ScannedNode } from '../../exposure/kernels.ts';
import { type KubeProxy, kubeProxyOf } from '../../exposure/kube-proxy.ts';
import type { KubeClient } from '../../kubernetes/client.ts';
import { isKubeError, KubeError } from '../../kubernetes/errors.ts';
import { eachObject } from '../../kubernetes/lists.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../../kubernetes/objects.ts';
import { namespaceLabelsRead } from '../../policy/exemptions.ts';
import type { Gap } from '../report/report.ts';
import { orGap } from './gaps.ts';
import { type Owners, readOwners } from './owners.ts';
import { createPodGroups, type PodGroups } from './pod-groups.ts';
import { readReach } from './policies.ts';
import type { Scanned, Surroundings } from './scanned.ts';

interface ScanOptions {
  readonly client: Pick<KubeClient, 'request'>;
  /** Empty for all. */
  readonly namespaces: readonly string[];
  /** `namespace/name` of the cluster DNS Service. */
  readonly dnsService: string;
  readonly signal: AbortSignal;
  /** Called with a description of what is being read. */
  readonly onProgress?: (what: string) => void;
}

/**
 * Reads everything that decisions need but Pods. What cannot be read becomes a gap. `morePolicies`: network policies come from manifests,
 * too. Rejects with the signal's reason.
 */
export async function scanSurroundings(options: ScanOptions, morePolicies = true): Promise<Surroundings> {
  const { client, signal, onProgress } = options;
  const gaps: Gap[] = [];
  onProgress?.('namespaces and nodes');
  const [namespaces, nodes, reach, kubeProxy, nfqueueUsers, dnsTcpPort] = await Promise.all([
    readNamespaces(options, gaps),
    readNodes(options, gaps),
    readReach({ client, scopes: scopes(options), service: options.dnsService, morePolicies, signal }, gaps),
    scanKubeProxy({ client, signal }, gaps),
    scanNfqueueUsers({ client, signal }),
    readDnsTcpPort({ client, signal }, options.dnsService),
  ]);
  return { namespaces, nodes, ...reach, kubeProxy, nfqueueUsers, dnsTcpPort, gaps };
}

/**
 * Reads what the audit needs from a cluster, page by page. Memory grows with the number of distinct Pods, not of all Pods. What
 * cannot be read becomes a gap, except Pods and namespaces that do not exist. Rejects with `KubeError` or the signal's reason.
 */
export async function scanCluster(options: ScanOptions): Promise<Scanned> {
  const { client, signal, onProgress } = options;
  await refuseAbsent(options);
  const surroundings = await scanSurroundings(options, false);
  const gaps: Gap[] = [...surroundings.gaps];
  const groups: PodGroups[] = [];
  for (const scope of scopes(options)) {
    onProgress?.('workloads');
    const owners = await readOwners({ client, signal, ...scope }, gaps);
    onProgress?.('Pods');
    groups.push(await readPods(options, scope, owners));
  }
  return { ...surroundings, groups: groups.flatMap((some) => some.all()), gaps };
}

/** Rejects with `KubeError` (not-found) for a namespace that does not exist: of a mistyped name the audit would find nothing wrong. */
async function refuseAbsent({ client, namespaces, signal }: ScanOptions): Promise<void> {
  for (const name of namespaces) {
    await client.request({ path: resourcePath(RESOURCES.namespaces, name), signal }).catch((error: unknown) => {
      // What else cannot be read becomes a gap.
      if (!isKubeError(error, 'not-found')) return;
      throw new KubeError('not-found', `there is no namespace ${name}: kubectl get namespaces lists them`);
    });
  }
}

/** Returns the message for a failed scan, with the rights to grant if access was denied. */
export function scanFailure(error: unknown): string {
  const message = error instanceof KubeError ? error.message : String(error);
  const forbidden = isKubeError(error, 'forbidden', 'unauthorized');
  return forbidden ? `${message}. The audit needs at least: list pods (docs/audit.md)` : message;
}

/** Field selector: Pods that have ended no longer use DNS. */
const NOT_ENDED = 'status.phase!=Succeeded,status.phase!=Failed';

/** Small, because each Node lists all its images. */
const NODE_PAGE = 100;

/** One entry without a namespace means all namespaces at once. */
const scopes = ({ namespaces }: ScanOptions): readonly { namespace?: string }[] =>
  namespaces.length === 0 ? [{}] : namespaces.map((namespace) => ({ namespace }));

const labelled = ({ metadata }: KubeObject): [string, Record<string, string>] => [
  metadata.name,
  namespaceLabelsRead(metadata.labels ?? {}),
];

async function readNamespaces(options: ScanOptions, gaps: Gap[]): Promise<Scanned['namespaces']> {
  const { client, namespaces, signal } = options;
  const found = new Map<string, Record<string, string>>();
  const grant = 'list namespaces: without it, all namespaces are taken for unlabelled';
  await orGap(gaps, 'namespaces', grant, async () => {
    for (const name of namespaces) {
      found.set(...labelled(await client.request({ path: resourcePath(RESOURCES.namespaces, name), signal })));
    }
    if (namespaces.length > 0) return;
    await eachObject({ client, resource: RESOURCES.namespaces, metadataOnly: true, signal }, () => (object) => {
      found.set(...labelled(object));
    });
  });
  return found;
}

interface NodeStatus {
  readonly nodeInfo?: Partial<Record<'kernelVersion' | 'osImage' | 'operatingSystem', unknown>> | null;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function scannedNode({ metadata, status }: KubeObject): ScannedNode {
  const info = (status as NodeStatus | null | undefined)?.nodeInfo ?? {};
  return {
    name: metadata.name,
    os: text(info.operatingSystem) || 'linux',
    kernel: text(info.kernelVersion),
    osImage: text(info.osImage),
  };
}

async function readNodes({ client, signal }: ScanOptions, gaps: Gap[]): Promise<ScannedNode[]> {
  let nodes: ScannedNode[] = [];
  await orGap(gaps, 'nodes', 'list nodes: their kernels decide whether the fault is possible', async () => {
    await eachObject({ client, resource: RESOURCES.nodes, pageSize: NODE_PAGE, signal }, () => {
      nodes = [];
      return (object) => nodes.push(scannedNode(object));
    });
  });
  return nodes;
}

/** Collects each scope in its own groups, so that a list that has to restart does not count Pods twice. */
async function readPods(options: ScanOptions, scope: { namespace?: string }, owners: Owners): Promise<PodGroups> {
  const { client, signal, onProgress } = options;
  let groups = createPodGroups();
  let read = 0;
  const query = { fieldSelector: NOT_ENDED };
  await eachObject({ client, resource: RESOURCES.pods, query, signal, ...scope }, () => {
    groups = createPodGroups();
    read = 0;
    return (pod) => {
      const { owner, template } = owners.of(pod);
      groups.add(owner, pod, template);
      read += 1;
      if (read % 100 === 0) onProgress?.(`${read} Pods`);
    };
  });
  return groups;
}

interface ReadOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly signal: AbortSignal;
}

const GRANT = 'get configmaps kube-proxy, kube-proxy-config, cilium-config, and list pods, in kube-system';

/** Finds out what translates Service addresses. Adds a gap if that is unknown because its sources could not be read. */
export async function scanKubeProxy({ client, signal }: ReadOptions, gaps: Gap[]): Promise<KubeProxy> {
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

/** Reports whether the DNS Service (`namespace/name`) has TCP port 53; undefined if it could not be read. */
async function readDnsTcpPort(options: ReadOptions, service: string): Promise<boolean | undefined> {
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

/** Returns the DaemonSets that are known to use NFQUEUE; undefined if they cannot be listed: `readOwners` reports that gap. */
async function scanNfqueueUsers({ client, signal }: ReadOptions): Promise<readonly string[] | undefined> {
  try {
    return await readNfqueueUsers({ request: (asked) => client.request({ ...asked, signal }) });
  } catch (error) {
    if (error instanceof KubeError) return undefined;
    throw error;
  }
}
