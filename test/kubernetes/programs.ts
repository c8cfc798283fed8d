import { createHash } from 'node:crypto';
import { accessSync, constants, globSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the programs of a Kubernetes control plane are found, and what `npm run kubernetes` builds them from. */

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** A Go module of this folder whose dependencies hold programs. */
export interface Module {
  readonly folder: string;
  /** The path of the module that it is for. */
  readonly dependency: string;
  /** The version of what it is for, for example `v1.36.1`. */
  readonly version: string;
  /** Changes with each version in it, and with each line of Go. */
  readonly hash: string;
}

function moduleIn(folder: string, dependency: string): Module {
  const text = readFileSync(join(folder, 'go.mod'), 'utf8');
  const words = text.split('\n').map((line) => line.trim().replace('require ', '').split(' '));
  const version = words.find(([name]) => name === dependency)?.[1];
  if (version === undefined) throw new Error(`${join(folder, 'go.mod')} does not require ${dependency}`);
  const hash = createHash('sha256').update(text);
  const sources = globSync(['go.sum', '*.go', '{node-cache,sidecar}/*.go'], { cwd: folder }).toSorted();
  for (const name of sources) hash.update(readFileSync(join(folder, name)));
  return { folder, dependency, version, hash: hash.digest('hex').slice(0, 12) };
}

export const newest = moduleIn(HERE, 'k8s.io/kubernetes');
/** The chart's `kubeVersion`: of it only the API server is built. */
export const oldest = moduleIn(join(HERE, 'oldest'), 'k8s.io/kubernetes');
export const etcd = moduleIn(join(HERE, 'etcd'), 'go.etcd.io/etcd/server/v3');
export const containerd = moduleIn(join(HERE, 'containerd'), 'github.com/containerd/containerd/v2');
export const coreDns = moduleIn(join(HERE, 'coredns'), 'github.com/coredns/coredns');
export const policies = moduleIn(join(HERE, 'policies'), 'sigs.k8s.io/kube-network-policies');
/** Kubernetes' own test image, whose webhook in Go the bench compares with ours. */
export const agnhost = moduleIn(join(HERE, 'agnhost'), 'k8s.io/kubernetes');
export const certManager = moduleIn(join(HERE, 'cert-manager'), 'github.com/cert-manager/cert-manager');
export const argoCd = moduleIn(join(HERE, 'argo-cd'), 'github.com/argoproj/argo-cd/v3');
export const otelCollector = moduleIn(join(HERE, 'otel-collector'), 'go.opentelemetry.io/collector/otelcol');

/** Where all of it is: each program once in `programs`, and folders of links to them. */
export const CACHE = join(homedir(), '.cache/libc-dns-webhook/kubernetes');

/**
 * Returns the folder that `npm run kubernetes` fills with an API server of this version: one for each set of versions, so that an
 * old build is never taken for a new one.
 */
export function builtFolder({ version, hash }: Module): string {
  return join(CACHE, `${version}-${hash}-${etcd.hash}`);
}

/** The folder that `npm run kubernetes -- --node` fills with what a node runs: container runtime, network plugins, DNS, Kubernetes' own. */
export const nodeFolder = join(
  CACHE,
  `node-${[newest, containerd, coreDns, policies].map(({ hash }) => hash).join('-')}`,
);

/** The folder that `npm run kubernetes -- --cert-manager` fills with cert-manager and its CustomResourceDefinitions. */
export const certManagerFolder = join(CACHE, `cert-manager-${certManager.version}-${certManager.hash}`);

/** The folder that `npm run kubernetes -- --agnhost` fills. */
export const agnhostFolder = join(CACHE, `agnhost-${agnhost.version}-${agnhost.hash}`);

/** The folder that `npm run kubernetes -- --argo-cd` fills with Argo CD's server of plugins. */
export const argoCdFolder = join(CACHE, `argo-cd-${argoCd.version}-${argoCd.hash}`);

/** The folder that `npm run kubernetes -- --otel-collector` fills with OpenTelemetry's collector. */
export const otelCollectorFolder = join(CACHE, `otel-collector-${otelCollector.version}-${otelCollector.hash}`);

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** What the cluster tests cannot do without. */
const needed = ['etcd', 'kube-apiserver', 'kubectl'] as const;

/** Returns the programs of `names` that a folder lacks. */
export function missingIn(folder: string, names: readonly string[] = needed): string[] {
  return names.filter((name) => !isExecutable(join(folder, name)));
}

/**
 * Returns the folder of kube-apiserver, etcd and kubectl: `KUBEBUILDER_ASSETS` as setup-envtest prints it, else what
 * `npm run kubernetes` built, else where controller-runtime's envtest looks.
 */
export function programsFolder(): string {
  const named = process.env['KUBEBUILDER_ASSETS'];
  if (named !== undefined && named !== '') return named;
  const installed = '/usr/local/kubebuilder/bin';
  const built = builtFolder(newest);
  return missingIn(built).length > 0 && missingIn(installed).length === 0 ? installed : built;
}
