import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { elf } from './elf-builder.ts';
import { image } from './image-builder.ts';
import { layer } from './layer-builder.ts';
import type { TestCluster } from './cluster.ts';
import type { RegistryServer } from './registry-server.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const LOADERS = ['/lib/ld-musl-x86_64.so.1', '/lib64/ld-linux-x86-64.so.2'] as const;

/** Pushes `count` different images, every other one musl. Returns their references. */
export function putImages(registry: RegistryServer, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const content = Buffer.concat([elf({ interpreter: LOADERS[index % 2] ?? LOADERS[0] }), Buffer.from(`#${index}`)]);
    const built = image({ layers: [layer([{ path: 'app', content }], 'gzip')], config: { entrypoint: ['/app'] } });
    return registry.put(`team/app-${index}:v1`, built);
  });
}

/** Returns what tells an audit the mode of kube-proxy, and the Service of the cluster DNS. */
export const clusterDnsObjects = (mode: 'iptables' | 'ipvs'): object[] => [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-proxy', namespace: 'kube-system' },
    data: { 'config.conf': `kind: KubeProxyConfiguration\nmode: ${mode}\n` },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'kube-dns', namespace: 'kube-system' },
    spec: {
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
  },
];

async function create(
  { client }: Pick<TestCluster, 'client'>,
  path: string,
  body: object,
  method: 'POST' | 'PUT' | 'PATCH' = 'POST',
): Promise<KubeObject> {
  const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  return await client.request({ method, path, body, contentType, timeoutMs: 60_000 });
}

/** Creates a Node that reports this kernel. */
export async function createNode(cluster: TestCluster, name: string, kernel: string, osImage: string): Promise<void> {
  await create(cluster, '/api/v1/nodes', { metadata: { name } });
  const nodeInfo = {
    kernelVersion: kernel,
    osImage,
    operatingSystem: 'linux',
    architecture: 'amd64',
    bootID: '',
    containerRuntimeVersion: '',
    kubeProxyVersion: '',
    kubeletVersion: 'v1.36.2',
    machineID: '',
    systemUUID: '',
  };
  await create(cluster, `/api/v1/nodes/${name}/status`, { status: { nodeInfo } }, 'PATCH');
}

/** The settings of a workload. */
interface WorkloadOptions {
  readonly namespace: string;
  readonly name: string;
  readonly image: string;
  readonly pods: number;
  readonly node?: string;
  /** Added to the template's spec, and to the Pods' unless `podSpec` overrides it. */
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Added to the Pods' spec only, as an injector does. */
  readonly podSpec?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const ref = (apiVersion: string, kind: string, { metadata }: KubeObject) => ({
  apiVersion,
  kind,
  name: metadata.name,
  uid: metadata.uid,
  controller: true,
});

/** Creates a Deployment with its ReplicaSet and Pods, as the controllers would. */
export async function createWorkload(cluster: TestCluster, options: WorkloadOptions): Promise<void> {
  const { namespace, name, image: reference, pods, node, annotations = {} } = options;
  const labels = { app: name };
  const spec = { containers: [{ name: 'main', image: reference }], ...options.spec };
  const body = {
    metadata: { name },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
  const deployment = await create(cluster, `/apis/apps/v1/namespaces/${namespace}/deployments`, body);
  const hash = { ...labels, 'pod-template-hash': 'abc12' };
  const set = await create(cluster, `/apis/apps/v1/namespaces/${namespace}/replicasets`, {
    metadata: { name: `${name}-abc12`, ownerReferences: [ref('apps/v1', 'Deployment', deployment)] },
    spec: { selector: { matchLabels: hash }, template: { metadata: { labels: hash }, spec } },
  });
  for (let index = 0; index < pods; index += 1) {
    const ownerReferences = [ref('apps/v1', 'ReplicaSet', set)];
    const metadata = { name: `${name}-abc12-${index}`, labels: hash, annotations, ownerReferences };
    const podSpec = { ...spec, ...options.podSpec, ...(node !== undefined && { nodeName: node }) };
    await create(cluster, `/api/v1/namespaces/${namespace}/pods`, { metadata, spec: podSpec });
  }
}

/** Runs at most 16 at once, which the API server handles well. */
export async function forEachOf<T>(
  items: readonly T[],
  each: (item: T, index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next;
      next += 1;
      await each(items[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

export interface AuditRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly seconds: number;
}

interface StartedAudit {
  readonly process: ChildProcess;
  readonly result: Promise<AuditRun>;
}

/** Starts `libc-dns audit` as a process. */
export function startAudit(
  kubeconfig: string,
  flags: readonly string[],
  settings: Readonly<Record<string, string>>,
): StartedAudit {
  const began = performance.now();
  const env = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`LIBC_DNS_${key}`, value]));
  const child = spawn(process.execPath, [MAIN, 'audit', '--kubeconfig', kubeconfig, ...flags], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const result = new Promise<AuditRun>((resolve) => {
    child.on('close', (code) => {
      const seconds = (performance.now() - began) / 1000;
      resolve({ code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString(), seconds });
    });
  });
  return { process: child, result };
}
