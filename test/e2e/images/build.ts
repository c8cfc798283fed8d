import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type Buildah, createBuildah } from '../../image/buildah.ts';
import { copyContext, findBases } from '../../image/product.ts';
import { put, putProgram } from '../../image/stand-ins.ts';
import { command } from '../../lab/command.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** A tree of files that becomes the layers of an image, base first. */
interface Layers {
  readonly folders: readonly string[];
  /** Further lines of its Dockerfile. */
  readonly lines: readonly string[];
}

/** As much of Debian and of Alpine as a program needs. */
function writeBases(folder: string): { readonly debian: string; readonly alpine: string } {
  const [debian, alpine] = ['debian', 'alpine'].map((name) => join(folder, name)) as [string, string];
  for (const path of ['/lib64/ld-linux-x86-64.so.2', '/lib/x86_64-linux-gnu/libc.so.6', '/bin/sh', '/etc/os-release'])
    put(path, debian, path);
  put('/lib/x86_64-linux-gnu/libresolv.so.2', debian, '/lib/x86_64-linux-gnu/libresolv.so.2');
  put('/usr/lib/x86_64-linux-musl/libc.so', alpine, '/lib/ld-musl-x86_64.so.1');
  mkdirSync(join(alpine, 'etc'), { recursive: true });
  writeFileSync(join(alpine, 'etc/os-release'), 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.0\n');
  writeFileSync(join(alpine, 'etc/alpine-release'), '3.22.0\n');
  return { debian, alpine };
}

async function compile(folder: string): Promise<void> {
  const source = join(HERE, 'probe.c');
  for (const name of ['glibc', 'musl', 'static-musl', 'go']) mkdirSync(join(folder, name), { recursive: true });
  await command('gcc', ['-O', '-o', join(folder, 'glibc/probe'), source]);
  await command('musl-gcc', ['-O', '-o', join(folder, 'musl/probe'), source]);
  await command('musl-gcc', ['-O', '-static', '-o', join(folder, 'static-musl/probe'), source]);
  const env = { CGO_ENABLED: '0', GOFLAGS: '-mod=mod' };
  await command('go', ['build', '-trimpath', '-o', join(folder, 'go/probe'), 'main.go'], {
    cwd: join(HERE, 'go'),
    env,
  });
}

/** The images of the tests' own Pods, `apps/NAME:1`. */
async function appImages(folder: string): Promise<Record<string, Layers>> {
  const { debian, alpine } = writeBases(folder);
  await compile(folder);
  const app = (...folders: readonly string[]): Layers => ({
    folders,
    lines: ['ENTRYPOINT ["/probe"]', 'CMD ["sleep"]'],
  });
  const of = (name: string): string => join(folder, name);
  return {
    'apps/glibc:1': app(debian, of('glibc')),
    'apps/musl:1': app(alpine, of('musl')),
    'apps/static-musl:1': app(of('static-musl')),
    'apps/go:1': app(of('go')),
  };
}

/** What the cluster itself runs, by the names under which it is pulled. */
function clusterImages(folder: string, programs: string): Record<string, Layers> {
  const of = (name: string, program: string): string => {
    const place = join(folder, name);
    mkdirSync(join(place, 'tmp'), { recursive: true });
    cpSync(program, join(place, name));
    return place;
  };
  const nodeCache = of('node-cache', join(programs, 'node-cache'));
  putProgram('/usr/sbin/iptables', nodeCache, '/usr/sbin/iptables');
  // What it knows of targets and matches.
  put('/usr/lib/x86_64-linux-gnu/xtables', nodeCache, '/usr/lib/x86_64-linux-gnu/xtables');
  return {
    'coredns/coredns:v1.14.6': {
      folders: [of('coredns', join(programs, 'coredns'))],
      lines: ['ENTRYPOINT ["/coredns"]'],
    },
    'dns/k8s-dns-node-cache:1.26.4': {
      folders: [nodeCache],
      lines: ['ENTRYPOINT ["/node-cache"]'],
    },
    'pause:3.10': { folders: [join(folder, 'static-musl')], lines: ['ENTRYPOINT ["/probe"]'] },
  };
}

/** Builds the product by its own Dockerfile, on bases that trust the cluster's CA as they trust the web's. */
async function buildProduct(buildah: Buildah, folder: string, ca: string): Promise<string> {
  const { BUILD_IMAGE, BASE_IMAGE } = await findBases(buildah, folder);
  const trusting = join(folder, 'trusting');
  mkdirSync(trusting, { recursive: true });
  cpSync(ca, join(trusting, 'ca.crt'));
  writeFileSync(
    join(trusting, 'Dockerfile'),
    `FROM ${BASE_IMAGE}\nCOPY --chmod=0644 ca.crt /etc/e2e-ca.crt\nENV NODE_EXTRA_CA_CERTS=/etc/e2e-ca.crt\n`,
  );
  await buildah(['build', '--quiet', '--tag', 'localhost/trusting', trusting]);
  const name = 'localhost/libc-dns-webhook';
  const bases = ['--build-arg', `BUILD_IMAGE=${BUILD_IMAGE}`, '--build-arg', 'BASE_IMAGE=localhost/trusting'];
  await buildah(['build', '--quiet', '--pull-never', ...bases, '--tag', name, copyContext(folder)]);
  return name;
}

/** Builds all images. Returns the folder of each as an OCI layout. `programs`: the folder of coredns and node-cache. */
export async function buildImages(folder: string, programs: string, ca: string): Promise<Record<string, string>> {
  mkdirSync(folder, { recursive: true });
  const buildah = createBuildah(folder);
  const layouts: Record<string, string> = {};
  const save = async (image: string, built: string): Promise<void> => {
    const layout = join(folder, 'layouts', image.replaceAll(/[/:]/g, '-'));
    mkdirSync(dirname(layout), { recursive: true });
    await buildah(['push', '--quiet', built, `oci:${layout}`]);
    layouts[image] = layout;
  };
  const images = { ...(await appImages(folder)), ...clusterImages(folder, programs) };
  for (const [image, { folders, lines }] of Object.entries(images)) {
    const copies = folders.map((place) => `COPY ${place.slice(folder.length + 1)} /`);
    const dockerfile = join(folder, 'Dockerfile');
    writeFileSync(dockerfile, ['FROM scratch', ...copies, ...lines, ''].join('\n'));
    await buildah(['build', '--quiet', '--layers', '--tag', 'localhost/one', '-f', dockerfile, folder]);
    await save(image, 'localhost/one');
  }
  await save('libc-dns/libc-dns-webhook:0.1.0', await buildProduct(buildah, folder, ca));
  return layouts;
}
