import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  type AuditRun,
  clusterDnsObjects,
  createNode,
  createWorkload,
  forEachOf,
  startAudit,
} from '../support/audit-cluster.ts';
import { createCertificate } from '../support/certificate.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { startProxy } from '../support/proxy-server.ts';
import { type Fault, type RegistryServer, startRegistry } from '../support/registry-server.ts';

/** A cluster as people have it, on a real API server: some hundred workloads, and registries that fail for different reasons. */
export interface Scene {
  /** Runs `libc-dns audit` on it. */
  readonly audit: (...flags: string[]) => Promise<AuditRun>;
  /** Registers the webhook, and labels some namespaces with this mode. Pods of `enforce` are patched. */
  readonly install: (mode: 'audit' | 'enforce') => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** What each registry does. */
const REGISTRIES: Readonly<Record<string, Fault | undefined>> = {
  'registry-1.docker.io': { kind: 'answer', status: 429, headers: { 'retry-after': '3600' } },
  'ghcr.io': undefined,
  'registry.k8s.io': undefined,
  'registry.shop.example': {
    kind: 'answer',
    status: 401,
    headers: { 'www-authenticate': 'Basic realm="shop"' },
  },
  'quay.io': { kind: 'answer', status: 404 },
};

/** Not in this list: what the proxy does not reach. */
const UNREACHABLE = 'harbor.plant-7.example';
const DENIED = 'registry.untrusted.example';

const MUSL = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const GLIBC = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2' });
const GO = elf({ sectionHeadersBehindProgramHeaders: true, notes: [{ owner: 'Go', type: 4 }] });

const IMAGES: readonly (readonly [reference: string, program: Buffer, path: string])[] = [
  ['ghcr.io/mirror/nginx:1.29-alpine', MUSL, 'usr/sbin/nginx'],
  ['ghcr.io/mirror/haproxy:3.2-alpine', MUSL, 'usr/local/sbin/haproxy'],
  ['ghcr.io/mirror/eclipse-temurin:21-jre', GLIBC, 'opt/java/openjdk/bin/java'],
  ['ghcr.io/mirror/postgres:18', GLIBC, 'usr/bin/postgres'],
  ['docker.io/library/redis:8-alpine', MUSL, 'usr/local/bin/redis-server'],
  ['ghcr.io/shop/checkout-orchestrator-payment-reconciliation:2026.11.3', GLIBC, 'app/node'],
  ['ghcr.io/shop/recommendations:1.8.0', MUSL, 'usr/local/bin/python3.14'],
  ['ghcr.io/shop/storefront-backend-for-frontend:7.2.1-alpine', MUSL, 'usr/local/bin/node'],
  ['ghcr.io/platform/ingress-controller:4.1', GO, 'manager'],
  ['ghcr.io/platform/feature-flags:0.9', GO, 'flagd'],
  ['registry.shop.example/payments/ledger:2026.11', GLIBC, 'ledger'],
  ['registry.shop.example/payments/fraud-detection-scoring-engine:4.4', GLIBC, 'score'],
  ['registry.shop.example/payments/settlement:1', GLIBC, 'settle'],
  [`${UNREACHABLE}/line/controller:12`, GLIBC, 'controller'],
  [`${UNREACHABLE}/line/telemetry-collector-and-forwarder:3.0.1`, MUSL, 'collect'],
  ['quay.io/legacy/batch-importer:2019', GLIBC, 'import'],
  [`${DENIED}/tools/debug-shell:latest`, MUSL, 'sh'],
  ['registry.k8s.io/coredns/coredns:v1.14.6', GO, 'coredns'],
];

const NAMESPACES = [
  'shop-frontend',
  'shop-checkout',
  'payments',
  'payments-reconciliation-eu-central-1',
  'plant-7-line-control',
  'search',
  'recommendations',
  'platform',
  'data-warehouse',
  'legacy-batch',
  'identity',
  'observability',
];

const NODES = [
  ['worker-eu-central-1a-0', '4.18.0-305.el8.x86_64', 'Red Hat Enterprise Linux 8.4 (Ootpa)'],
  ['worker-eu-central-1a-1', '4.14.90', 'Container Linux'],
  ['worker-eu-central-1b-0', '4.14.90', 'Container Linux'],
  ['worker-eu-central-1b-1', '6.12.48+deb13-amd64', 'Debian GNU/Linux 13 (trixie)'],
] as const;

const ROLES = ['api', 'worker', 'web', 'consumer-dead-letter-queue-replayer', 'scheduler', 'gateway'];

/** Each of so many images and workloads in turn, so that a run is like the last. */
const at = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;

const WORKLOADS = 240;

function settingsOf(index: number): object {
  if (index % 31 === 7)
    return { dnsConfig: { options: [{ name: 'timeout', value: '1' }, { name: 'single-request-reopen' }] } };
  if (index % 53 === 11) return { dnsConfig: { options: [{ name: 'ndots', value: '1' }] } };
  if (index % 97 === 13) return { dnsConfig: { options: [{ name: 'attempts', value: '0' }] } };
  return {};
}

async function createWorkloads(cluster: TestCluster): Promise<void> {
  await forEachOf(Array.from({ length: WORKLOADS }), async (_, index) => {
    const namespace = at(NAMESPACES, index * 7 + Math.floor(index / 12));
    const [reference] = at(IMAGES, index * 5 + Math.floor(index / 11));
    const [second] = at(IMAGES, index + 3);
    const containers = [
      { name: 'main', image: reference },
      ...(index % 6 === 0 ? [{ name: 'sidecar', image: second }] : []),
    ];
    await createWorkload(cluster, {
      namespace,
      name: `${namespace.slice(0, 16).replace(/-$/, '')}-${at(ROLES, index)}-${index}`,
      image: reference,
      pods: 1 + (index % 4),
      node: at(NODES, index)[0],
      spec: { containers, ...settingsOf(index) },
    });
  });
  for (const name of ['coredns', 'metrics-server']) {
    const [reference] = at(IMAGES, IMAGES.length - 1);
    await createWorkload(cluster, { namespace: 'kube-system', name, image: reference, pods: 2, node: at(NODES, 0)[0] });
  }
}

function createServices(cluster: TestCluster): Promise<void> {
  return cluster.apply(...clusterDnsObjects('iptables'));
}

/** Puts each image into the registry that its name says. */
function putImages(registries: ReadonlyMap<string, RegistryServer>): void {
  for (const [reference, program, path] of IMAGES) {
    const [host = '', ...rest] = reference.replace(/^docker\.io/, 'registry-1.docker.io').split('/');
    const layers = [layer([{ path, content: Buffer.concat([program, Buffer.from(reference)]) }], 'gzip')];
    registries.get(host)?.put(rest.join('/'), image({ layers, config: { entrypoint: [`/${path}`] } }));
  }
}

const PATCHED = {
  annotations: { 'libc-dns.dev/decision': '{"reason":"OptionsAdded","remedy":["options"]}' },
  podSpec: { dnsConfig: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] } },
};

async function register(cluster: TestCluster, mode: 'audit' | 'enforce'): Promise<void> {
  const some = NAMESPACES.slice(0, 4);
  if (mode === 'enforce') {
    await forEachOf(some, async (namespace) => {
      await createWorkload(cluster, {
        namespace,
        name: 'invoices',
        image: 'ghcr.io/mirror/postgres:18',
        pods: 3,
        node: at(NODES, 1)[0],
        ...PATCHED,
      });
    });
  }
  for (const namespace of some) {
    await cluster.kubectl(['label', 'namespace', namespace, `libc-dns.dev/mode=${mode}`, '--overwrite']);
  }
  const service = { namespace: 'libc-dns', name: 'libc-dns-webhook', path: '/mutate' };
  await cluster.apply({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'libc-dns-webhook' },
    webhooks: [
      {
        name: 'pods.libc-dns.dev',
        clientConfig: { service },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        failurePolicy: 'Ignore',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  });
}

/** Starts the cluster and its registries, and fills them. */
export async function startScene(): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-pictures-'));
  const hosts = Object.keys(REGISTRIES);
  const tls = await createCertificate(hosts);
  const caFile = join(folder, 'ca.crt');
  await writeFile(caFile, tls.cert);
  const registries = new Map<string, RegistryServer>();
  for (const [host, fault] of Object.entries(REGISTRIES)) {
    registries.set(host, await startRegistry({ tls, fault: () => fault }));
  }
  putImages(registries);
  const proxy = await startProxy({
    hosts: Object.fromEntries([...registries].map(([host, { host: address }]) => [`${host}:443`, address])),
  });
  const cluster = await startCluster();
  for (const namespace of NAMESPACES) await cluster.createNamespace(namespace);
  await cluster.kubectl(['create', 'serviceaccount', 'default', '-n', 'kube-system']);
  for (const [name, kernel, osImage] of NODES) await createNode(cluster, name, kernel, osImage);
  await createServices(cluster);
  await createWorkloads(cluster);
  const settings = {
    DETECTION_REGISTRY_PROXY: proxy.url,
    DETECTION_REGISTRY_CA_FILE: caFile,
    DETECTION_REGISTRY_DENY: DENIED,
  };
  return {
    audit: (...flags) => startAudit(cluster.kubeconfig, flags, settings).result,
    install: (mode) => register(cluster, mode),
    stop: async () => {
      await cluster.stop();
      await proxy.close();
      for (const registry of registries.values()) await registry.close();
      await rm(folder, { recursive: true });
    },
  };
}
