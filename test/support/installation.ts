import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAllDocuments } from 'yaml';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { startBalancer, type Balancer } from './balancer.ts';
import { WEBHOOK_HOST, type TestCluster } from './cluster.ts';
import { startWebhook, type StartOptions, type WebhookProcess } from './webhook-process.ts';

const MANIFESTS = new URL('../../certs/manifests/', import.meta.url);

/** Namespace and name that the plain manifests use. */
export const NAMESPACE = 'libc-dns';
export const NAME = 'libc-dns-webhook';

export interface Manifest extends KubeObject {
  readonly kind: string;
}

export async function readManifests(...files: string[]): Promise<Manifest[]> {
  const texts = await Promise.all(files.map((file) => readFile(new URL(file, MANIFESTS), 'utf8')));
  return parseAllDocuments(texts.join('\n---\n'))
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/**
 * Returns the Service that the API server calls. The tests' own API server has no kube-proxy, so an ExternalName points to this
 * machine; in a running cluster it is a Service with this machine as its endpoint.
 */
function service(port: number): object[] {
  const metadata = { name: NAME, namespace: NAMESPACE };
  if (WEBHOOK_HOST === '127.0.0.1') {
    const spec = { type: 'ExternalName', externalName: 'localhost', ports: [{ port, name: 'webhook' }] };
    return [{ apiVersion: 'v1', kind: 'Service', metadata, spec }];
  }
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port, name: 'webhook' }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': NAME } },
      addressType: 'IPv4',
      ports: [{ port, name: 'webhook' }],
      endpoints: [{ addresses: [WEBHOOK_HOST], conditions: { ready: true } }],
    },
  ];
}

interface Registration extends Manifest {
  readonly webhooks: readonly { readonly clientConfig: { readonly service: { port: number } } }[];
}

/** Points the registration at the balancer. */
function withPort(manifest: Manifest, port: number): Manifest {
  if (manifest.kind !== 'MutatingWebhookConfiguration') return manifest;
  const moved = structuredClone(manifest) as Registration;
  for (const { clientConfig } of moved.webhooks) clientConfig.service.port = port;
  return moved;
}

interface Deployment extends Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly env: readonly { name: string; value: string }[] }[] };
    };
  };
}

/** Returns the environment of the server's container, with Node's options. */
function environmentOf(manifests: readonly Manifest[]): Record<string, string> {
  const deployment = manifests.find(({ kind }) => kind === 'Deployment') as Deployment | undefined;
  const variables = deployment?.spec.template.spec.containers[0]?.env ?? [];
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
}

export interface Installation {
  readonly balancer: Balancer;
  readonly replicas: WebhookProcess[];
  /** Starts another replica under the service account and adds it to the Service once it is ready. */
  readonly addReplica: (options?: StartOptions & { readonly server?: string }) => Promise<WebhookProcess>;
  /** Takes a replica out of the Service, as failing readiness does, and ends it. */
  readonly removeReplica: (replica: WebhookProcess) => Promise<number | null>;
  readonly stop: () => Promise<void>;
}

export interface InstallOptions extends StartOptions {
  readonly scope?: 'opt-in' | 'cluster';
  readonly replicas?: number;
}

export async function isReady(replica: WebhookProcess): Promise<string> {
  const answer = await fetch(`${replica.probes}/readyz`);
  return (await answer.text()).trim();
}

export async function untilReady(replica: WebhookProcess): Promise<void> {
  const until = performance.now() + 30_000;
  for (;;) {
    const state = await isReady(replica).catch((error: Error) => error.message);
    if (state === 'ok') return;
    if (performance.now() > until) throw new Error(state);
    await sleep(50);
  }
}

/** Installs the plain manifests, with local processes as replicas. */
export async function install(cluster: TestCluster, options: InstallOptions = {}): Promise<Installation> {
  const { scope = 'opt-in', replicas: count = 1, ...start } = options;
  const balancer = await startBalancer(WEBHOOK_HOST);
  await cluster.createNamespace(NAMESPACE);
  const manifests = await readManifests('crd.yaml', 'rbac.yaml', `registration-${scope}.yaml`);
  await cluster.apply(...manifests.map((manifest) => withPort(manifest, balancer.port)), ...service(balancer.port));
  const environment = environmentOf(await readManifests('webhook.yaml'));
  const replicas: WebhookProcess[] = [];
  const point = (): void => balancer.set(replicas.map(({ url }) => url));

  const addReplica: Installation['addReplica'] = async ({ server, settings, flags = [], ...rest } = {}) => {
    const kubeconfig = await cluster.kubeconfigOf(NAMESPACE, NAME, server);
    const replica = await startWebhook({
      ...start,
      ...rest,
      environment: { ...environment, ...start.environment, ...rest.environment },
      settings: { SCOPE: scope, TLS_MODE: 'self-managed', ...start.settings, ...settings },
      flags: ['--kubeconfig', kubeconfig, ...(start.flags ?? []), ...flags],
    });
    await untilReady(replica);
    replicas.push(replica);
    point();
    return replica;
  };
  await Promise.all(Array.from({ length: count }, () => addReplica()));

  return {
    balancer,
    replicas,
    addReplica,
    removeReplica: async (replica) => {
      replicas.splice(replicas.indexOf(replica), 1);
      point();
      return await replica.stop();
    },
    stop: async () => {
      await Promise.all(replicas.map((replica) => replica.stop()));
      await balancer.close();
      await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', NAME, '--ignore-not-found']);
    },
  };
}
