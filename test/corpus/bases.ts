import { layer, type BuiltLayer, type Compression } from '../support/layer-builder.ts';
import type { TarEntry } from '../support/tar-builder.ts';
import type { Sources } from './sources.ts';
import { link, sortedByName, withFolders } from './tree.ts';

/** Builds base layers like the well-known ones from real files. */

export interface Base {
  readonly layer: BuiltLayer;
  readonly history: readonly { readonly createdBy: string; readonly emptyLayer?: boolean }[];
  readonly env: readonly string[];
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The packages of debootstrap's minbase variant. */
const DEBIAN_PACKAGES = `
  apt base-files base-passwd bash bsdutils coreutils dash debconf debian-archive-keyring debianutils diffutils
  dpkg findutils gcc-12-base gpgv grep gzip hostname init-system-helpers libacl1 libapt-pkg6.0 libattr1
  libaudit-common libaudit1 libblkid1 libbz2-1.0 libc-bin libc6 libgcc-s1 libgcrypt20 libgnutls30 libpam-modules
  libpam-runtime libpam0g libpcre2-8-0 libselinux1 libstdc++6 libsystemd0 libtinfo6 libzstd1 login mawk mount
  ncurses-base ncurses-bin passwd perl-base sed sysvinit-utils tar tzdata util-linux zlib1g
`
  .trim()
  .split(/\s+/);
const MERGED = ['bin', 'lib', 'lib64', 'sbin'];

/** Builds a name-sorted tree of real Debian packages. `merged`: `/bin` links to `usr/bin`, as since Debian 12. */
export async function debianBase(sources: Sources, merged = true): Promise<Base> {
  const release = merged ? '12' : '11';
  const built = await keptLayer(sources, `debian ${release} 5 ${DEBIAN_PACKAGES.join(' ')}`, 'gzip', async () => {
    await sources.debian.download([...DEBIAN_PACKAGES, 'ca-certificates']);
    const files: TarEntry[] = [];
    for (const name of DEBIAN_PACKAGES) files.push(...(await sources.debian.entries(name)));
    return debianTree([...files, await certificates(sources)], merged);
  });
  const suite = merged ? 'bookworm' : 'bullseye';
  return {
    layer: built,
    history: [
      { createdBy: `# debian.sh --arch 'amd64' out/ '${suite}' '@1747699200'` },
      { createdBy: `CMD ["bash"]`, emptyLayer: true },
    ],
    env: [PATH],
  };
}

/** Returns the files of packages as a name-sorted tree that has each path once: runtimes refuse others. */
export function debianTree(files: readonly TarEntry[], merged: boolean): TarEntry[] {
  const tree = new Map<string, TarEntry>();
  for (const entry of files) {
    const [top = '', ...rest] = entry.path.split('/');
    // Docker's slim images leave documentation out.
    if (/^usr\/share\/(doc|man|locale|info|lintian)\//.test(entry.path)) continue;
    if (merged && MERGED.includes(top) && rest.length === 0) continue;
    const path = merged ? mergedPath(entry.path) : entry.path;
    tree.set(path, { ...entry, path });
  }
  if (merged) for (const top of MERGED) tree.set(top, link(top, `usr/${top}`));
  const shell = merged ? 'usr/bin/sh' : 'bin/sh';
  tree.set(shell, link(shell, 'dash'));
  return sortedByName(withFolders([...tree.values()]));
}

/**
 * Returns the file that update-ca-certificates writes. With it the first executable of the tree is as deep as in Debian's own
 * images, whose other generated files are missing here.
 */
async function certificates(sources: Sources): Promise<TarEntry> {
  const entries = await sources.debian.entries('ca-certificates');
  const pem = entries.filter(({ path }) => path.endsWith('.crt')).map(({ content }) => Buffer.from(content ?? ''));
  return { path: 'etc/ssl/certs/ca-certificates.crt', content: Buffer.concat(pem), mode: 0o644 };
}

/** Returns the files of a Debian package as in an image of Debian 12 or later. */
export async function installed(sources: Sources, name: string): Promise<TarEntry[]> {
  const entries = await sources.debian.entries(name);
  return withFolders(
    entries
      .filter(({ path }) => !MERGED.includes(path))
      .map(({ path, ...rest }) => Object.assign({ path: mergedPath(path) }, rest)),
  );
}

function mergedPath(path: string): string {
  return MERGED.includes(path.split('/')[0] ?? '') ? `usr/${path}` : path;
}

/** Builds Alpine's minirootfs with `bin/busybox` as its sixth entry: a program of ours, linked to the real musl. */
export async function alpineBase(sources: Sources): Promise<Base> {
  const busybox = await sources.compile.musl('dynamic');
  const loader = await sources.debian.file('musl', 'lib/x86_64-linux-musl/libc.so');
  const entries: TarEntry[] = [
    { path: 'bin', type: 'dir' },
    ...['bin/arch', 'bin/ash', 'bin/base64', 'bin/bbconfig'].map(applet),
    { path: 'bin/busybox', content: busybox },
    ...['bin/cat', 'bin/date', 'bin/echo', 'bin/ls', 'bin/sh'].map(applet),
    { path: 'etc/alpine-release', content: '3.22.2\n', mode: 0o644 },
    { path: 'etc/apk/arch', content: 'x86_64\n', mode: 0o644 },
    { path: 'etc/os-release', content: 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.2\n', mode: 0o644 },
    { path: 'lib/apk/db/installed', content: apkDatabase('musl', '1.2.5-r10'), mode: 0o644 },
    { path: 'lib/ld-musl-x86_64.so.1', content: loader },
    link('lib/libc.musl-x86_64.so.1', 'ld-musl-x86_64.so.1'),
    ...['usr/bin/env', 'usr/bin/id', 'usr/bin/wget'].map(applet),
  ];
  return {
    layer: layer(withFolders(entries)),
    history: [
      { createdBy: 'ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit' },
      { createdBy: 'CMD ["/bin/sh"]', emptyLayer: true },
    ],
    env: [PATH],
  };
}

function applet(path: string): TarEntry {
  return link(path, '/bin/busybox');
}

/** Builds Wolfi: an apk database and glibc. */
export async function wolfiBase(sources: Sources): Promise<Base> {
  const entries: TarEntry[] = [
    { path: 'etc/apk/world', content: 'wolfi-baselayout\nglibc\nbusybox\n', mode: 0o644 },
    { path: 'etc/os-release', content: 'ID=wolfi\nNAME="Wolfi"\nVERSION_ID="20230201"\n', mode: 0o644 },
    link('bin', 'usr/bin'),
    link('lib', 'usr/lib'),
    link('lib64', 'usr/lib'),
    { path: 'usr/bin/busybox', content: await sources.debian.file('busybox', 'bin/busybox') },
    link('usr/bin/sh', 'busybox'),
    { path: 'usr/lib/apk/db/installed', content: apkDatabase('glibc', '2.41-r3'), mode: 0o644 },
    ...(await glibcLibraries(sources, 'usr/lib')),
  ];
  return { layer: layer(sortedByName(withFolders(entries))), history: [{ createdBy: 'apko' }], env: [PATH] };
}

/** Builds distroless/static, which calls itself Debian and has no libc, or distroless/base, the same with glibc. */
export async function distrolessBase(sources: Sources, libc: 'none' | 'glibc'): Promise<Base> {
  const entries: TarEntry[] = [
    {
      path: 'etc/os-release',
      content: 'PRETTY_NAME="Distroless"\nNAME="Debian GNU/Linux"\nID="debian"\n',
      mode: 0o644,
    },
    { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/sbin/nologin\n', mode: 0o644 },
    { path: 'usr/share/zoneinfo/UTC', content: 'TZif2', mode: 0o644 },
    { path: 'var/lib/dpkg/status.d/base-files', content: 'Package: base-files\nVersion: 12.4+deb12u10\n', mode: 0o644 },
    ...(libc === 'none' ? [] : await glibcLibraries(sources, 'lib/x86_64-linux-gnu')),
    ...(libc === 'none' ? [] : [link('lib64/ld-linux-x86-64.so.2', '/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2')]),
  ];
  return {
    layer: layer(sortedByName(withFolders(entries))),
    history: [{ createdBy: 'bazel build @@//static:static_root_amd64_debian12' }],
    env: [PATH, 'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt'],
  };
}

/** Returns the real glibc's loader and libraries, moved to another folder. */
export async function glibcLibraries(sources: Sources, folder: string): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for (const name of ['ld-linux-x86-64.so.2', 'libc.so.6', 'libresolv.so.2']) {
    const content = await sources.debian.file('libc6', `lib/x86_64-linux-gnu/${name}`);
    entries.push({ path: `${folder}/${name}`, content });
  }
  return entries;
}

/** Builds a layer and caches it, because it takes long. The key must change with the content. */
export async function keptLayer(
  sources: Sources,
  key: string,
  compression: Compression,
  makeEntries: () => Promise<readonly TarEntry[]>,
): Promise<BuiltLayer> {
  const kept = await sources.cache.keep(`layer ${compression} ${key}`, async () => {
    const { bytes, descriptor, diffId } = layer(await makeEntries(), compression);
    return Buffer.concat([Buffer.from(`${JSON.stringify({ descriptor, diffId })}\n`), bytes]);
  });
  const end = kept.indexOf('\n');
  const { descriptor, diffId } = JSON.parse(kept.subarray(0, end).toString()) as Omit<BuiltLayer, 'bytes'>;
  return { descriptor, diffId, bytes: kept.subarray(end + 1) };
}

function apkDatabase(name: string, version: string): string {
  return `C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=\nP:${name}\nV:${version}\nA:x86_64\nT:the libc\nL:MIT\n\n`;
}
