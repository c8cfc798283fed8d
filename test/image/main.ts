import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildahVersion, createBuildah, removeStore, type Buildah } from './buildah.ts';
import { configProblems, fileProblems } from './checks.ts';
import { entriesOf, extract, readLayout, type BuiltImage } from './inspect-image.ts';
import { copyContext, findBases } from './product.ts';
import { measureStarts, median } from './start-times.ts';

/**
 * `node test/image/main.ts`: builds the Dockerfile twice, without a daemon, and looks at what came out. Where a pinned base cannot be
 * had, something of this machine stands in for it, which is said. Exit status 1: something is wrong; 2: there is no buildah.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STARTS = 5;
const MOST_MS = 1000;

const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');
const say = (text: string): void => console.log(`image: ${text}`);
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

async function build(buildah: Buildah, context: string, args: Record<string, string>, folder: string): Promise<string> {
  const flags = Object.entries(args).flatMap(([name, image]) => ['--build-arg', `${name}=${image}`]);
  const layout = join(folder, 'image');
  const name = 'localhost/libc-dns-webhook:test';
  await buildah(['build', '--timestamp', '0', '--no-cache', '--pull-never', ...flags, '--tag', name, context]);
  await buildah(['push', '--quiet', name, `oci:${layout}`]);
  return layout;
}

async function layersOf(buildah: Buildah, image: string): Promise<number> {
  const { OCIv1 } = JSON.parse(await buildah(['inspect', '--type', 'image', image])) as {
    OCIv1: { rootfs: { diff_ids: readonly string[] } };
  };
  return OCIv1.rootfs.diff_ids.length;
}

/** By the wall's clock, or where others load the machine by the processor's: it waits for nobody else. */
async function startProblems(program: string): Promise<string[]> {
  const starts = await measureStarts(program, STARTS);
  const [wall, processor] = [median(starts.map((start) => start.wall)), median(starts.map((start) => start.processor))];
  const each = starts.map((start) => Math.round(start.wall)).join(', ');
  say(
    `ready on Node ${process.version} alone after ${each} ms: median ${Math.round(wall)}, of the processor ${processor}`,
  );
  if (wall < MOST_MS) return [];
  const late = `ready after ${Math.round(wall)} ms: expected less than ${MOST_MS}`;
  if (processor >= MOST_MS) return [late];
  console.error(`\n!! ${late}: the machine is busy (load ${loadavg()[0]?.toFixed(1)}), ${processor} ms are ours\n`);
  return [];
}

/** Whether two builds gave the same, and what is in it beside its base. */
function contentProblems([image, again]: readonly BuiltImage[]): string[] {
  const entries = image?.own.flatMap(({ path }) => entriesOf(path)) ?? [];
  const bytes = image?.own.reduce((sum, { size }) => sum + size, 0) ?? 0;
  say(`on top of its base: ${megabytes(bytes)} compressed, ${entries.length} entries`);
  const twice = image?.digest === again?.digest ? [] : [`built twice: ${image?.digest}, then ${again?.digest}`];
  if (twice.length === 0) say(`built twice: ${image?.digest}`);
  return [...twice, ...fileProblems(entries)];
}

/** The program of the image by the image's own Node, as its user. */
async function versionInside(buildah: Buildah, { config: { config } }: BuiltImage): Promise<string> {
  const container = await buildah(['from', '--pull-never', 'localhost/libc-dns-webhook:test']);
  const program = [...(config.Entrypoint ?? []), '--version'];
  return await buildah(['run', '--user', config.User ?? '', container, '--', ...program]);
}

function platformProblems(): string[] {
  const declared = /--platform (\S+)/.exec(read('.github/workflows/release.yml'))?.[1];
  return declared === 'linux/amd64,linux/arm64' ? [] : [`the release is for ${declared}: expected amd64 and arm64`];
}

async function look(buildah: Buildah, folder: string): Promise<string[]> {
  const context = copyContext(folder);
  const args = await findBases(buildah, folder);
  const baseLayers = await layersOf(buildah, args['BASE_IMAGE'] ?? '');
  const built: BuiltImage[] = [];
  for (const name of ['first', 'second']) {
    mkdirSync(join(folder, name));
    built.push(readLayout(await build(buildah, context, args, join(folder, name)), baseLayers));
  }
  const [image] = built;
  if (image === undefined) return ['nothing was built'];
  const wrong = [...configProblems(image), ...platformProblems(), ...contentProblems(built)];
  const alone = join(folder, 'alone');
  mkdirSync(alone);
  const layer = image.own.find(({ path }) => entriesOf(path).some((entry) => entry.endsWith(' app/main.js')));
  if (layer === undefined) return wrong;
  const { path } =
    image.own.find((each) => entriesOf(each.path).some((entry) => entry.endsWith(' app/reader.js'))) ?? layer;
  extract(path, 'app/reader.js', alone);
  wrong.push(...(await startProblems(extract(layer.path, 'app/main.js', alone))));
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const inside = await versionInside(buildah, image);
  if (inside !== version) wrong.push(`in the image, --version says ${inside}: expected ${version}`);
  else say(`in the image, its Node starts it as ${image.config.config.User}`);
  return wrong;
}

async function run(): Promise<number> {
  const version = buildahVersion();
  if (version === undefined) {
    console.error('\n!! THE IMAGE WAS NOT BUILT: no buildah: apt-get install buildah\n');
    return 2;
  }
  say(version);
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-image-'));
  try {
    const wrong = await look(createBuildah(folder), folder);
    for (const problem of wrong) console.error(`WRONG ${problem}`);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    removeStore(folder);
  }
}

process.exitCode = await run();
