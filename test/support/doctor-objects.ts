import { readFile } from 'node:fs/promises';
import { parse, parseAllDocuments, stringify } from 'yaml';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import type { TestCluster } from './cluster.ts';
import { NAME, NAMESPACE } from './installation.ts';

const WEBHOOK = new URL('../../certs/manifests/webhook.yaml', import.meta.url);

/** The labels that the installation's Service selects. */
const LABELS = { 'app.kubernetes.io/name': NAME, 'app.kubernetes.io/instance': NAME };

/** The ConfigMap of kube-proxy as kubeadm writes it. */
export const kubeProxyConfig: object = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'kube-proxy', namespace: 'kube-system' },
  data: { 'config.conf': 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ""\n' },
};

export const node = (name: string, kernelVersion: string, operatingSystem = 'linux'): object => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: {
    nodeInfo: {
      kernelVersion,
      operatingSystem,
      architecture: 'amd64',
      bootID: '',
      containerRuntimeVersion: '',
      kubeProxyVersion: '',
      kubeletVersion: '',
      machineID: '',
      osImage: '',
      systemUUID: '',
    },
  },
});

interface Detection {
  readonly detection: { readonly registry: object };
}

/** Reads Deployment, ConfigMap and PodDisruptionBudget from the plain manifests. `detection` is added to the configuration. */
async function manifests({ detection }: Detection): Promise<object[]> {
  const documents = parseAllDocuments(await readFile(WEBHOOK, 'utf8')).map((document) => document.toJS() as KubeObject);
  const wanted = documents.filter((one) =>
    ['Deployment', 'ConfigMap', 'PodDisruptionBudget'].includes(String(one['kind'])),
  );
  return wanted.map((one) => {
    if (one['kind'] !== 'ConfigMap') return one;
    const file = parse((one['data'] as Record<string, string>)['config.yaml'] ?? '') as { detection: object };
    const config = { ...file, detection: { ...file.detection, ...detection } };
    return Object.assign(one, { data: { 'config.yaml': stringify(config) } });
  });
}

/** A replica as a kubelet would report it; no kubelet runs here. */
interface ReplicaPod {
  readonly name: string;
  readonly node: string;
  readonly ready?: boolean;
  readonly waiting?: string;
}

async function createStatus(cluster: TestCluster, path: string, body: object): Promise<void> {
  await cluster.client.request({
    method: 'PATCH',
    path: `${path}/status`,
    contentType: 'application/merge-patch+json',
    body,
  });
}

export async function putReplica(
  cluster: TestCluster,
  { name, node: nodeName, ready = true, waiting }: ReplicaPod,
): Promise<void> {
  const pods = `/api/v1/namespaces/${NAMESPACE}/pods`;
  const spec = {
    nodeName,
    serviceAccountName: NAME,
    containers: [{ name: 'webhook', image: 'registry.test/webhook:1' }],
  };
  await cluster.client.request({ method: 'POST', path: pods, body: { metadata: { name, labels: LABELS }, spec } });
  const state = waiting === undefined ? { running: {} } : { waiting: { reason: waiting } };
  await createStatus(cluster, `${pods}/${name}`, {
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      containerStatuses: [{ name: 'webhook', image: '', imageID: '', ready, restartCount: 0, state }],
    },
  });
}

/** Adds what `install` leaves out because no controller runs here, as if the whole installation ran. */
export async function completeInstallation(
  cluster: TestCluster,
  config: Detection,
  replicas: readonly ReplicaPod[],
): Promise<void> {
  await cluster.apply(...(await manifests(config)));
  const selector = JSON.stringify({ spec: { selector: LABELS } });
  await cluster.kubectl(['-n', NAMESPACE, 'patch', 'service', NAME, '--type=merge', '-p', selector]);
  for (const replica of replicas) await putReplica(cluster, replica);
  const counts = { replicas: 3, readyReplicas: replicas.length, updatedReplicas: replicas.length };
  await createStatus(cluster, `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${NAME}`, { status: counts });
}

export interface Change {
  readonly kind: string;
  readonly name: string;
  /** A JSON Patch if it is a list, else a merge patch. */
  readonly body: object;
  readonly namespace?: string;
}

/** Changes an object while `then` runs and restores it afterwards, even if it was deleted in between. */
export async function whileChanged(
  { kubectl }: TestCluster,
  { kind, name, body, namespace }: Change,
  then: () => Promise<void>,
): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  const before = JSON.parse(await kubectl([...where, 'get', kind, name, '-o', 'json'])) as KubeObject;
  const type = Array.isArray(body) ? 'json' : 'merge';
  await kubectl([...where, 'patch', kind, name, '--type', type, '-p', JSON.stringify(body)]);
  try {
    await then();
  } finally {
    await kubectl([...where, 'delete', kind, name, '--ignore-not-found']);
    const { labels, annotations } = before.metadata;
    const metadata = { name, ...(namespace !== undefined && { namespace }), labels, annotations };
    await kubectl(['create', '-f', '-'], JSON.stringify({ ...before, metadata }));
  }
}
