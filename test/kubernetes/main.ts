import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { builtFolder, etcd, missingIn, type Module, newest, oldest } from './programs.ts';

/**
 * `npm run kubernetes [-- PROGRAM…]`: builds the programs of a control plane from their published Go modules, once for each set of
 * versions, into a folder below `~/.cache/libc-dns-webhook`, whose path it prints. `--oldest`: the API server of the oldest version
 * that the chart supports, beside the newest etcd and kubectl. Exit status 1: one could not be built; 2: no Go.
 */

interface Program {
  readonly name: string;
  readonly module: Module;
  readonly package: string;
}

const ofKubernetes = (name: string, module = newest): Program => ({
  name,
  module,
  package: `k8s.io/kubernetes/cmd/${name}`,
});

/** In the order of building: what all cluster tests need first, then what some need. */
const usual: readonly Program[] = [
  { name: 'etcd', module: etcd, package: 'go.etcd.io/etcd/server/v3' },
  ofKubernetes('kube-apiserver'),
  ofKubernetes('kubectl'),
  ofKubernetes('kube-controller-manager'),
];

/** What a node needs besides: built only if named. */
const further: readonly Program[] = ['kube-scheduler', 'kube-proxy', 'kubelet'].map((name) => ofKubernetes(name));

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

function hasGo(): boolean {
  return spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0;
}

/** Builds beside its place and moves it there, so that a build that is cut short leaves nothing that could be taken for a program. */
function build({ name, module, package: path }: Program, folder: string): boolean {
  const began = performance.now();
  const part = join(folder, `.${name}.${process.pid}`);
  const linking = `-s -w ${module !== etcd ? versionFlags(module) : ''}`;
  const { status, error } = spawnSync('go', ['build', '-trimpath', '-ldflags', linking, '-o', part, path], {
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
  renameSync(part, join(folder, name));
  say(`${name} ${module.version} built in ${seconds} s`);
  return true;
}

/** Builds what a folder lacks. Returns the exit status. */
function fill(folder: string, wanted: readonly Program[]): number {
  mkdirSync(folder, { recursive: true });
  const missing = new Set(
    missingIn(
      folder,
      wanted.map(({ name }) => name),
    ),
  );
  const toBuild = wanted.filter(({ name }) => missing.has(name));
  if (toBuild.length > 0 && !hasGo()) {
    say(`no Go to build ${[...missing].join(', ')} with: install it (https://go.dev/dl), or set KUBEBUILDER_ASSETS`);
    return 2;
  }
  return toBuild.filter((program) => !build(program, folder)).length === 0 ? 0 : 1;
}

function fillOldest(): number {
  const [from, to] = [builtFolder(newest), builtFolder(oldest)];
  const others = usual.filter(({ name }) => name === 'etcd' || name === 'kubectl');
  const status = fill(from, others) || fill(to, [ofKubernetes('kube-apiserver', oldest)]);
  if (status === 0) for (const { name } of others) copyFileSync(join(from, name), join(to, name));
  return status;
}

function main(): number {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { oldest: { type: 'boolean' } } });
  const all = [...usual, ...further];
  const unknown = positionals.filter((name) => all.every((program) => program.name !== name));
  if (unknown.length > 0) {
    say(`${unknown.join(', ')}: not one of ${all.map(({ name }) => name).join(', ')}`);
    return 1;
  }
  const wanted = positionals.length === 0 ? usual : all.filter(({ name }) => positionals.includes(name));
  const status = values.oldest === true ? fillOldest() : fill(builtFolder(newest), wanted);
  if (status === 0) console.log(builtFolder(values.oldest === true ? oldest : newest));
  return status;
}

process.exitCode = main();
