import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { builtFolder, containerd, coreDns, newest, nodeFolder } from '../kubernetes/programs.ts';
import { isolate, whyNotIsolated } from '../lab/isolation.ts';
import { fillMarked, marked, tableOf, tableRow } from '../support/pages.ts';
import { writeCertificates } from './cluster/certificates.ts';
import { CGROUP, cgroupFolders } from './cluster/node.ts';
import { certificatesOf, type Order } from './cluster/place.ts';
import { buildImages } from './images/build.ts';
import type { Result } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';

/**
 * `npm run e2e [-- SCENARIO…]`: a whole cluster of two nodes on this machine, the product in it as users install it, and what they may
 * expect of it; then a second cluster with kube-proxy in nftables mode, and some of it again. Needs root. All of it runs in namespaces
 * of its own, and is gone when it ends, however it ends. `--nftables`: kube-proxy in that mode, and no second cluster. `--keep`: leaves the folder with the logs. `--again`: tries once more what failed, on a new installation. `--write`: puts the
 * table into results.md. `--built`: builds no programs, and leaves out what needs those that are not there. Exit status 1: something is not as expected; 2: this machine cannot run it.
 */

const TOOLS = [
  'unshare',
  'nsenter',
  'ip',
  'iptables',
  'nft',
  'conntrack',
  'runc',
  'buildah',
  'skopeo',
  'docker-registry',
  'gcc',
  'musl-gcc',
  'go',
  'helm',
];

async function whyNot(isBuilt: boolean): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'it needs root';
  const missing = TOOLS.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  if (![[], ['--node']].every((words) => hasPrograms(words, isBuilt))) return 'its programs are not built';
  // Without it, its scenario alone does not run.
  hasPrograms(['--cert-manager'], isBuilt);
  return await whyNotIsolated();
}

/** Removes what the kernel does not: cgroups outlive the processes in them. */
function removeCgroups(): void {
  for (const folder of cgroupFolders(CGROUP)) {
    const below = globSync('**/', { cwd: folder }).map((path) => join(folder, path));
    for (const path of [...below, folder].toSorted((a, b) => b.length - a.length)) {
      try {
        rmdirSync(path);
      } catch {
        // Gone already, or a process of another run is in it.
      }
    }
  }
}

/** Builds programs that are not built yet; `check`: says only which. Returns whether they are there. */
function hasPrograms(words: readonly string[], check: boolean): boolean {
  const program = fileURLToPath(new URL('../kubernetes/main.ts', import.meta.url));
  const args = [program, ...words, ...(check ? ['--check'] : [])];
  return spawnSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
}

type Wanted = Pick<Order, 'scenarios' | 'proxyMode' | 'again'>;

/** Starts a cluster in a folder of its own below `folder`, and runs scenarios in it. */
async function runOn(images: Order['images'], wanted: Wanted, folder: string): Promise<readonly Result[]> {
  const place = join(folder, wanted.proxyMode);
  cpSync(certificatesOf(folder), certificatesOf(place), { recursive: true });
  const order: Order = { folder: place, controlPlane: builtFolder(newest), node: nodeFolder, images, ...wanted };
  console.error(`e2e: the cluster is started, kube-proxy in ${wanted.proxyMode} mode`);
  const { result, kill } = isolate(fileURLToPath(new URL('inside.ts', import.meta.url)), JSON.stringify(order));
  process.once('SIGINT', kill);
  process.once('SIGTERM', kill);
  try {
    return JSON.parse(await result) as readonly Result[];
  } finally {
    removeCgroups();
  }
}

/** Runs clusters one after the other, of the same images. Returns the results of each. */
async function run(clusters: readonly Wanted[], folder: string): Promise<readonly (readonly Result[])[]> {
  await writeCertificates(folder);
  console.error('e2e: images are built');
  const images = await buildImages(join(folder, 'images'), nodeFolder, join(certificatesOf(folder), 'ca.crt'));
  const results: (readonly Result[])[] = [];
  for (const wanted of clusters) results.push(await runOn(images, wanted, folder));
  return results;
}

/** What is looked at in nftables mode, too: what depends on how a packet goes. */
const BRIEF = ['install', 'race'];

const PAGE = fileURLToPath(new URL('../../docs/e2e.md', import.meta.url));
const RESULTS = fileURLToPath(new URL('results.md', import.meta.url));
const firstCell = (line: string): string => line.slice(2).split(' |')[0]?.trim() ?? '';

/**
 * Replaces the table of this mode in results.md; scenarios that did not run keep their rows. In iptables mode also replaces the scenarios'
 * own tables in docs/e2e.md.
 */
function writePage(results: readonly Result[], proxyMode: Order['proxyMode']): void {
  const part = proxyMode === 'nftables' ? 'e2e nftables' : 'e2e';
  const all = readFileSync(RESULTS, 'utf8');
  const earlier = marked(all, part).split('\n');
  const rows = SCENARIOS.flatMap(({ id, name }) => {
    const result = results.find((one) => one.id === id);
    if (result === undefined) return earlier.filter((line) => firstCell(line) === name);
    const { ok, seen, ms } = result;
    return [tableRow([name, `${ok ? '' : '**not as expected** '}${seen}`, `${Math.round(ms / 1000)} s`])];
  });
  const versions = `Kubernetes ${newest.version}, containerd ${containerd.version}, CoreDNS ${coreDns.version}, on two cores:`;
  writeFileSync(RESULTS, fillMarked(all, part, `${versions}\n\n${tableOf(['scenario', 'seen', 'time'], rows)}`));
  let page = readFileSync(PAGE, 'utf8');
  for (const { id, ok, table } of proxyMode === 'iptables' ? results : []) {
    if (ok && table !== undefined) page = fillMarked(page, `e2e ${id}`, table);
  }
  writeFileSync(PAGE, page);
}

/** Leaves out the scenarios that cannot run here, and says why. */
function runnable(ids: readonly string[]): readonly string[] {
  return ids.filter((id) => {
    const why = SCENARIOS.find((one) => one.id === id)?.whyNot?.();
    if (why !== undefined) console.error(`\n!! THE SCENARIO ${id} ON A WHOLE CLUSTER DID NOT RUN: ${why}\n`);
    return why === undefined;
  });
}

/** Prints what failed, if only once, and how many are as expected. Returns the exit status. */
function report(results: readonly Result[]): number {
  for (const { id, ok, first = '' } of results) {
    if (!ok || first === '') continue;
    console.error(`\n!! THE SCENARIO ${id} ON A WHOLE CLUSTER FAILED ONCE, NOT TWICE: ${first.split('\n')[0]}\n`);
  }
  const good = results.filter(({ ok }) => ok);
  console.log(`e2e: ${good.length} of ${results.length} as expected`);
  return good.length === results.length ? 0 : 1;
}

async function main(): Promise<number> {
  const options = {
    keep: { type: 'boolean' },
    nftables: { type: 'boolean' },
    write: { type: 'boolean' },
    again: { type: 'boolean' },
    built: { type: 'boolean' },
  } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const known = SCENARIOS.map(({ id }) => id);
  const unknown = positionals.filter((id) => !known.includes(id));
  if (unknown.length > 0) {
    console.error(`e2e: ${unknown.join(', ')}: not one of ${known.join(', ')}`);
    return 1;
  }
  const why = await whyNot(values.built === true);
  if (why !== undefined) {
    console.error(`\n!! THE TESTS ON A WHOLE CLUSTER DID NOT RUN: ${why}\n`);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-e2e-'));
  try {
    const scenarios = runnable(
      positionals.length > 0 ? ['install', ...positionals.filter((id) => id !== 'install')] : known,
    );
    const again = values.again === true;
    const clusters: Wanted[] = [{ scenarios, proxyMode: values.nftables === true ? 'nftables' : 'iptables', again }];
    if (positionals.length === 0 && values.nftables !== true) {
      clusters.push({ scenarios: BRIEF, proxyMode: 'nftables', again });
    }
    const all = await run(clusters, folder);
    if (values.write === true) {
      for (const [index, { proxyMode }] of clusters.entries()) writePage(all[index] ?? [], proxyMode);
    }
    return report(all.flat());
  } catch (error) {
    console.error(`e2e: ${(error as Error).message}`);
    return 1;
  } finally {
    if (values.keep === true) console.error(`e2e: its logs are in ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
