import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { commandsOf, triedBy } from '../support/readme.ts';
import { startRegistry } from '../support/registry-server.ts';
import { tryWithKrew } from './krew.ts';
import { folderOfNode, NODES } from './nodes.ts';

/**
 * `node test/newcomer/main.ts`: does what a newcomer does. Packs the npm package, installs it with several versions of Node, each into a
 * folder of its own, and runs the commands of README.md in a home without a cluster; a registry of ours stands in for Docker Hub. Then
 * it makes a clean clone, builds and tries the program there, and installs it as a plugin of kubectl. test/support/readme.ts says how the other commands are tried.
 * Exit status 1: something is not as README.md has it; 2: a Node could not be had.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  engines: { node: string };
};
const WANTED = PACKAGE.engines.node;

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

const MINUTE = 60_000;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What a command of README.md has to give here; those that are not named succeed. */
const WITHOUT_CLUSTER: readonly [command: RegExp, code: number, says: RegExp][] = [
  [/^libc-dns doctor/, 1, /nothing could be checked/],
  [/^libc-dns audit/, 2, /no cluster: neither --kubeconfig nor KUBECONFIG is given/],
];

/** The commands of README.md that this tries. */
const commands = [...new Set(commandsOf().filter((command) => triedBy(command) === 'newcomer'))];
const ours = commands.filter((command) => command.startsWith('libc-dns '));

const problems: string[] = [];
function expectThat(isSo: boolean, what: string): void {
  console.log(`${isSo ? 'ok   ' : 'WRONG'} ${what}`);
  if (!isSo) problems.push(what);
}

function run(command: string, cwd: string, env: NodeJS.ProcessEnv, timeout = MINUTE): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-c', command], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });
}

/** Packs the package as for a release. */
function pack(folder: string): string {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: ROOT, stdio: 'inherit' });
  return join(folder, readdirSync(folder).find((file) => file.endsWith('.tgz')) ?? '');
}

/** An Alpine and a Debian, with one program each, where Docker Hub has them, as far as detection looks. */
async function startHub() {
  const registry = await startRegistry();
  const put = (repository: string, interpreter: string): void => {
    const busybox = { path: 'bin/busybox', content: elf({ interpreter }), mode: 0o755 };
    const links = ['sleep', 'sh'].map((name) => ({
      path: `bin/${name}`,
      type: 'symlink' as const,
      target: '/bin/busybox',
    }));
    registry.put(repository, image({ layers: [layer([busybox, ...links], 'gzip')], config: { cmd: ['/bin/sh'] } }));
  };
  put('library/alpine:3.22', '/lib/ld-musl-x86_64.so.1');
  put('library/debian:13-slim', '/lib64/ld-linux-x86-64.so.2');
  return registry;
}

async function install(archive: string, nodeFolder: string, home: string): Promise<NodeJS.ProcessEnv> {
  const prefix = join(home, 'prefix');
  mkdirSync(prefix, { recursive: true });
  const path = [nodeFolder, join(prefix, 'bin'), process.env['PATH']].join(delimiter);
  const { KUBECONFIG: _cluster, ...environment } = process.env;
  const env = { ...environment, PATH: path, HOME: home };
  const installed = await run(`npm install --global --loglevel error --prefix ${prefix} ${archive}`, home, env);
  expectThat(installed.code === 0, `npm install --global${installed.code === 0 ? '' : `: ${installed.err}`}`);
  const packages = readdirSync(join(prefix, 'lib/node_modules'));
  const inside = readdirSync(join(prefix, 'lib/node_modules/libc-dns-webhook'));
  expectThat(packages.join() === 'libc-dns-webhook' && !inside.includes('node_modules'), 'one package, and no other');
  return env;
}

async function tooOld(archive: string, folder: string, home: string): Promise<void> {
  const env = await install(archive, folder, home);
  const { code, out, err } = await run('libc-dns detect alpine:3.22', home, env);
  const line = `libc-dns: needs Node ${WANTED.slice(2)} or later, and this is v${NODES.old} (${folder}/node)\n`;
  expectThat(code === 1 && out === '' && err === line, `one line: ${err.slice(0, 200).trim()}`);
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) copyFileSync(join(ROOT, file), join(home, file));
  const ci = await run('npm ci --dry-run --ignore-scripts', home, env);
  expectThat(
    ci.code === 0 && ci.err === '',
    `npm ci warns of nothing${ci.err === '' ? '' : `: ${ci.err.slice(0, 300)}`}`,
  );
}

async function goodEnough(archive: string, nodeFolder: string, home: string, config: string): Promise<void> {
  const env = { ...(await install(archive, nodeFolder, home)), LIBC_DNS_CONFIG: config };
  for (const command of ours) {
    const [, code, says] = WITHOUT_CLUSTER.find(([one]) => one.test(command)) ?? [undefined, 0, /./];
    const ended = await run(command, ROOT, env);
    const isSo = ended.code === code && says.test(ended.out + ended.err);
    if (command.startsWith('libc-dns explain')) {
      const shown = ended.out.replaceAll(/ +$/gm, '').trim();
      const isShown = README.includes(`\n${shown}\n`);
      expectThat(isShown, `README.md shows what it prints${isShown ? '' : `:\n${shown}`}`);
    }
    expectThat(isSo, `${command}  (exit status ${ended.code}${isSo ? '' : `\n${ended.out}${ended.err}`})`);
  }
  const detected = await run('libc-dns detect alpine:3.22 debian:13-slim', home, env);
  expectThat(/alpine:3.22 +musl[\s\S]*debian:13-slim +glibc/.test(detected.out), 'alpine is musl, debian glibc');
  const completed = await run('source <(libc-dns completion bash); complete -p libc-dns', home, env);
  expectThat(completed.code === 0, 'completion in bash');
  const executed = await run(`npm exec --yes --package=${archive} -- libc-dns version --client`, home, env);
  expectThat(executed.out.startsWith('client   '), `npx: ${executed.out.trim() || executed.err}`);
}

/** In a clean clone, with the machine's own Node: what README.md has one do to get the program, and to see it work. */
async function cleanClone(home: string): Promise<void> {
  const clone = join(home, 'clone');
  execFileSync('git', ['clone', '--quiet', '--no-hardlinks', ROOT, clone], { stdio: 'inherit' });
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.startsWith(ROOT));
  const env = { ...process.env, PATH: path.join(delimiter) };
  const others = commands.filter((command) => !ours.includes(command));
  expectThat(others.length >= 3, `README.md has ${others.length} commands for a clone`);
  for (const command of others.filter((one) => one.startsWith('npm '))) {
    const first = await run(command, clone, env, 10 * MINUTE);
    // What it measures in milliseconds it may miss on a busy machine, once.
    const { code, out, err } = first.code === 0 ? first : await run(command, clone, env, 10 * MINUTE);
    expectThat(code === 0, `${command}  (exit status ${code}${code === 0 ? '' : `\n${out}${err}`})`);
  }
  const exports = others.filter((one) => one.startsWith('export ')).join('; ');
  const { out, err } = await run(`${exports}; type -P libc-dns; libc-dns version --client`, clone, env);
  expectThat(out.startsWith(`${clone}/dist/libc-dns\nclient   `), `${exports}: ${(out || err).trim()}`);
  const withKrew = tryWithKrew(clone, home, PACKAGE.version);
  for (const [isSo, what] of withKrew ?? []) expectThat(isSo, what);
  if (withKrew === undefined) console.log('\n!! THE KREW PLUGIN WAS NOT INSTALLED: no krew, or not on linux-x64\n');
}

async function all(old: string, oldest: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'libc-dns-newcomer-'));
  const registry = await startHub();
  try {
    const archive = pack(home);
    const config = join(home, 'config.yaml');
    const mirrors = { 'docker.io': [`http://${registry.host}`] };
    writeFileSync(config, JSON.stringify({ detection: { registry: { mirrors, insecure: [registry.host] } } }));
    expectThat(ours.length >= 5, `README.md has ${ours.length} commands`);
    console.log(`\nNode ${NODES.old}`);
    await tooOld(archive, old, join(home, 'old'));
    for (const [version, folder] of [
      [NODES.oldest, oldest],
      [process.versions.node, dirname(process.execPath)],
    ] as const) {
      console.log(`\nNode ${version}`);
      await goodEnough(archive, folder, join(home, version), config);
    }
    console.log('\nA clean clone');
    await cleanClone(home);
  } finally {
    await registry.close();
    rmSync(home, { recursive: true });
  }
}

function nodes(): [old: string, oldest: string] | undefined {
  try {
    return [folderOfNode(NODES.old), folderOfNode(NODES.oldest)];
  } catch (error) {
    console.error(
      `\n!! WHAT A NEWCOMER DOES WAS NOT TRIED: no other Node: ${(error as Error).message.split('\n', 1)[0]}\n`,
    );
    return undefined;
  }
}

const found = nodes();
if (found === undefined) {
  process.exitCode = 2;
} else {
  await all(...found);
  console.log(`\n${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
