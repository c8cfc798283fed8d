import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import type { Buildah } from './buildah.ts';

/** The program's file and the shared libraries that it loads, as the dynamic linker lists them. */
function withLibraries(program: string): string[] {
  const listed = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...listed.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

/** Copies a file or folder of this machine to `to` in the folder. */
export function put(from: string, folder: string, to: string): void {
  mkdirSync(dirname(join(folder, to)), { recursive: true });
  cpSync(realpathSync(from), join(folder, to), { recursive: true, dereference: true });
}

/** A program at `to` in the folder, and its libraries where it looks for them. */
export function putProgram(program: string, folder: string, to: string): void {
  put(program, folder, to);
  for (const library of withLibraries(realpathSync(program))) put(library, folder, library);
}

const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** Node, npm and a shell of this machine: as much of `node:…-slim` as the build uses. */
function fillBuildBase(folder: string): string {
  putProgram(process.execPath, folder, '/usr/local/bin/node');
  putProgram('/bin/sh', folder, '/bin/sh');
  const npm = dirname(dirname(realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim())));
  put(npm, folder, '/usr/local/lib/node_modules/npm');
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(folder, 'usr/local/bin/npm'));
  putProgram('/usr/bin/env', folder, '/usr/bin/env');
  put(CERTIFICATES, folder, CERTIFICATES);
  mkdirSync(join(folder, 'tmp'));
  mkdirSync(join(folder, 'root'));
  // npm brings no certificates but Node's own, and a machine may have more.
  return `ENV PATH=/usr/local/bin:/usr/bin:/bin HOME=/root NODE_EXTRA_CA_CERTS=${CERTIFICATES}`;
}

/** Node of this machine where distroless has it, and distroless' way to start it. */
function fillRuntimeBase(folder: string): string {
  putProgram(process.execPath, folder, '/nodejs/bin/node');
  mkdirSync(join(folder, 'etc'), { recursive: true });
  writeFileSync(
    join(folder, 'etc/passwd'),
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n',
  );
  return 'ENTRYPOINT ["/nodejs/bin/node"]';
}

const FILL: Readonly<Record<string, (folder: string) => string>> = {
  BUILD_IMAGE: fillBuildBase,
  BASE_IMAGE: fillRuntimeBase,
};

/** Makes what stands in for a base image that cannot be had, of what this machine has. Returns its name. */
export async function standIn(buildah: Buildah, argument: string, folder: string): Promise<string> {
  const context = join(folder, basename(argument).toLowerCase());
  const files = join(context, 'files');
  mkdirSync(files, { recursive: true });
  const more = FILL[argument]?.(files) ?? '';
  writeFileSync(join(context, 'Dockerfile'), `FROM scratch\nCOPY files /\n${more}\n`);
  const name = `localhost/stand-in-${argument.toLowerCase().replace('_', '-')}:latest`;
  await buildah(['build', '--timestamp', '0', '--tag', name, context]);
  return name;
}
