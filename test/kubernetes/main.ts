import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import {
  agnhost,
  agnhostFolder,
  argoCd,
  argoCdFolder,
  builtFolder,
  CACHE,
  certManager,
  certManagerFolder,
  containerd,
  coreDns,
  etcd,
  missingIn,
  type Module,
  newest,
  nodeFolder,
  oldest,
  otelCollector,
  otelCollectorFolder,
  policies,
} from './programs.ts';

/**
 * `npm run kubernetes`: builds the programs of a control plane from their published Go modules, each once for each state of its module,
 * puts them into a folder below `~/.cache/libc-dns-webhook`, and prints its path. `-- --oldest`: the API server of the oldest version that the chart
 * supports, beside the newest etcd and kubectl. `-- --node`: what a node runs besides. `-- --cert-manager`: cert-manager. `-- --agnhost`:
 * Kubernetes' test image, a peer of the bench. `-- --argo-cd`: Argo CD's server of plugins. `-- --otel-collector`: OpenTelemetry's collector. `--check`: builds nothing, and says what is not
 * built. Exit status 1: one could not be built; 2: no Go, or not built.
 */

interface Program {
  readonly name: string;
  readonly module: Module;
  readonly package: string;
  readonly tags?: string;
  /** A folder of the module that is copied beside the program, and the name that it gets. */
  readonly files?: readonly [path: string, name: string];
}

const ofKubernetes = (name: string, module = newest): Program => ({
  name,
  module,
  package: `k8s.io/kubernetes/cmd/${name}`,
});

/** In the order of building: what all cluster tests need. */
const needed = (apiServer: Module): readonly Program[] => [
  { name: 'etcd', module: etcd, package: 'go.etcd.io/etcd/server/v3' },
  ofKubernetes('kube-apiserver', apiServer),
  ofKubernetes('kubectl'),
];

/** Then what some of them need. */
const controlPlane: readonly Program[] = [...needed(newest), ofKubernetes('kube-controller-manager')];

/** Without snapshotters whose libraries and file systems no test has. */
const ofContainerd = (name: string): Program => ({
  name,
  module: containerd,
  package: `github.com/containerd/containerd/v2/cmd/${name}`,
  tags: 'no_btrfs,no_devmapper,no_zfs,no_tracing',
});

const plugin = (path: string): Program => ({
  name: path.slice(path.indexOf('/') + 1),
  module: containerd,
  package: `github.com/containernetworking/plugins/plugins/${path}`,
});

const node: readonly Program[] = [
  ...['kubelet', 'kube-proxy', 'kube-scheduler'].map((name) => ofKubernetes(name)),
  ...['containerd', 'containerd-shim-runc-v2'].map(ofContainerd),
  ...['main/bridge', 'main/loopback', 'ipam/host-local', 'meta/portmap'].map(plugin),
  { name: 'coredns', module: coreDns, package: '.' },
  { name: 'node-cache', module: coreDns, package: './node-cache' },
  { name: 'network-policies', module: policies, package: '.' },
];

const certificates: readonly Program[] = [
  { name: 'cert-manager', module: certManager, package: '.', files: ['deploy/crds', 'crds'] },
];

const peer: readonly Program[] = [
  { name: 'agnhost', module: agnhost, package: 'k8s.io/kubernetes/test/images/agnhost' },
];
const pluginServer: readonly Program[] = [{ name: 'argo-cd-plugin', module: argoCd, package: '.' }];
const collector: readonly Program[] = [{ name: 'otel-collector', module: otelCollector, package: '.' }];

/** Without these, a program calls itself v0.0.0-master, and Helm refuses the cluster. */
function versionFlags({ version }: Module): string {
  const [, major, minor] = /^v(\d+)\.(\d+)\./.exec(version) ?? [];
  const values = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'archive' };
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  return packages
    .flatMap((path) => Object.entries(values).map(([key, value]) => `-X ${path}.${key}=${value}`))
    .join(' ');
}

const say = (text: string): void => console.error(`kubernetes: ${text}`);

/** Go 1.21 and later fetch the Go that a module asks for. Those before do not understand its go.mod. */
function hasGo(): boolean {
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' });
  return Number(/ go1\.(\d+)/.exec(stdout ?? '')?.[1] ?? 0) >= 21;
}

/** Copies files of the module that a program comes from. */
function copyFiles({ folder, dependency }: Module, [path, name]: NonNullable<Program['files']>, to: string): void {
  const from = execFileSync('go', ['list', '-m', '-f', '{{.Dir}}', dependency], { cwd: folder, encoding: 'utf8' });
  cpSync(join(from.trim(), path), join(to, name), { recursive: true });
}

/** Where a program is kept: once for each state of its module, whatever folders it is put into. */
const keptAt = ({ name, module }: Program): string =>
  join(CACHE, 'programs', `${name}-${module.version}-${module.hash}`);

/** Builds beside its place and moves it there, so that a build that is cut short leaves nothing that could be taken for a program. */
function build(program: Program): boolean {
  const { name, module, package: path, tags = '' } = program;
  const began = performance.now();
  const part = `${keptAt(program)}.${process.pid}`;
  const isKubernetes = module === newest || module === oldest;
  const linking = `-s -w ${isKubernetes ? versionFlags(module) : ''}`;
  const flags = ['-trimpath', '-tags', tags, '-ldflags', linking, '-o', part];
  const { status, error } = spawnSync('go', ['build', ...flags, path], {
    cwd: module.folder,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  if (status !== 0) {
    rmSync(part, { force: true });
    say(`${name} ${module.version} was not built after ${seconds} s${error === undefined ? '' : `: ${error.message}`}`);
    return false;
  }
  renameSync(part, keptAt(program));
  say(`${name} ${module.version} built in ${seconds} s`);
  return true;
}

/** Puts a program that is built, and what comes with it, into a folder. */
function put(program: Program, folder: string): void {
  if (program.files !== undefined) copyFiles(program.module, program.files, folder);
  try {
    linkSync(keptAt(program), join(folder, program.name));
  } catch (error) {
    // Another run has put it there meanwhile.
    if (missingIn(folder, [program.name]).length > 0) throw error;
  }
}

/** Builds what a folder lacks, or says it only. Returns the exit status. */
function fill(folder: string, wanted: readonly Program[], checkOnly: boolean): number {
  mkdirSync(join(CACHE, 'programs'), { recursive: true });
  mkdirSync(folder, { recursive: true });
  const missing = wanted.filter(({ name }) => missingIn(folder, [name]).length > 0);
  const toBuild = missing.filter((program) => !existsSync(keptAt(program)));
  const names = toBuild.map(({ name }) => name).join(', ');
  if (toBuild.length > 0 && checkOnly) {
    say(`not built: ${names}`);
    return 2;
  }
  if (toBuild.length > 0 && !hasGo()) {
    say(`no Go 1.21 or later to build ${names} with: install it (https://go.dev/dl), or set KUBEBUILDER_ASSETS`);
    return 2;
  }
  let status = 0;
  for (const program of missing) {
    if (existsSync(keptAt(program)) || build(program)) put(program, folder);
    else status = 1;
  }
  return status;
}

/** What each flag asks for: the folder to fill, and with what. */
const SETS: Readonly<Record<string, readonly [string, readonly Program[]]>> = {
  oldest: [builtFolder(oldest), needed(oldest)],
  node: [nodeFolder, node],
  'cert-manager': [certManagerFolder, certificates],
  'argo-cd': [argoCdFolder, pluginServer],
  'otel-collector': [otelCollectorFolder, collector],
  agnhost: [agnhostFolder, peer],
};

function main(): number {
  const flag = { type: 'boolean', default: false } as const;
  const names = Object.keys(SETS);
  const { values } = parseArgs({ options: Object.fromEntries([...names, 'check'].map((name) => [name, flag])) });
  const wanted = names.find((name) => values[name]);
  const [folder, programs] = SETS[wanted ?? ''] ?? [builtFolder(newest), controlPlane];
  const status = fill(folder, programs, values['check'] === true);
  if (status === 0) console.log(folder);
  return status;
}

process.exitCode = main();
