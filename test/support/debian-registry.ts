import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import type { ImageContent } from './registry-server.ts';

const binary = '/usr/bin/docker-registry';

/** Whether Debian's docker-registry is installed: `apt-get install docker-registry`. */
export const hasDebianRegistry = existsSync(binary);
if (!hasDebianRegistry) console.warn(`NOT RUN: there is no ${binary}: apt-get install docker-registry`);

/**
 * The registry of distribution 3 (`go build ./cmd/registry` of github.com/distribution/distribution/v3), which Debian does not have:
 * LIBC_DNS_TEST_REGISTRY names it; undefined if that is not set.
 */
const newer = process.env['LIBC_DNS_TEST_REGISTRY'] || undefined;
if (newer === undefined) console.warn('NOT RUN: distribution 3: LIBC_DNS_TEST_REGISTRY does not name its registry');

/** The registries that are installed. */
export const installedRegistries: readonly { readonly name: string; readonly binary: string }[] = [
  ...(hasDebianRegistry ? [{ name: "Debian's docker-registry", binary }] : []),
  ...(newer === undefined ? [] : [{ name: "distribution 3's registry", binary: newer }]),
];

interface DebianRegistryOptions {
  /** Default: Debian's. */
  readonly binary?: string;
  /** Lines of an htpasswd file, hashed with bcrypt. */
  readonly htpasswd?: string;
  /** Accepts tokens signed by this certificate's key. */
  readonly token?: { readonly realm: string; readonly service: string; readonly issuer: string; readonly cert: string };
  /** Pushed before logins are required. */
  readonly images: Readonly<Record<string, ImageContent>>;
}

export interface DebianRegistry {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly close: () => Promise<void>;
}

/** Runs a registry on loopback with its own directory. */
export async function startDebianRegistry(options: DebianRegistryOptions): Promise<DebianRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'docker-registry-'));
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const { binary: program = binary } = options;
  const open = await run(program, directory, port, {});
  const pushed = new Map<string, string>();
  for (const [name, image] of Object.entries(options.images)) await push(host, name, image, pushed);
  await stop(open);
  const guarded = await run(program, directory, port, await authOf(directory, options));
  const close = async (): Promise<void> => {
    await stop(guarded);
    await rm(directory, { recursive: true });
  };
  return { host, close };
}

async function authOf(directory: string, { htpasswd, token }: DebianRegistryOptions): Promise<object> {
  if (htpasswd !== undefined) {
    const path = join(directory, 'htpasswd');
    await writeFile(path, htpasswd);
    return { auth: { htpasswd: { realm: 'private', path } } };
  }
  if (token === undefined) return {};
  const rootcertbundle = join(directory, 'token.pem');
  await writeFile(rootcertbundle, token.cert);
  const { realm, service, issuer } = token;
  return { auth: { token: { realm, service, issuer, rootcertbundle } } };
}

async function run(program: string, directory: string, port: number, auth: object): Promise<ChildProcess> {
  const config = join(directory, 'config.yml');
  // JSON is YAML.
  const settings = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: `127.0.0.1:${port}`, secret: 'test' },
    // Base layers of Windows images are hosted elsewhere.
    validation: { disabled: true },
    ...auth,
  };
  await writeFile(config, JSON.stringify(settings));
  return await launch(program, config, port);
}

/** Starts a registry with a configuration file, and waits until it answers. */
export async function launch(program: string, config: string, port: number): Promise<ChildProcess> {
  const child = spawn(program, ['serve', config], { stdio: 'ignore' });
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null) break;
    const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer !== undefined) return child;
    await wait(50);
  }
  child.kill();
  throw new Error(`${program} does not answer`);
}

export async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill();
  await ended;
}

/** Pushes an image. `pushed` maps digests to the repository that already has the blob, to mount it from there. */
export async function push(
  host: string,
  name: string,
  image: ImageContent,
  pushed: Map<string, string>,
): Promise<void> {
  const [repository = '', tag = 'latest'] = name.split(':');
  const base = `http://${host}/v2/${repository}`;
  for (const [digest, bytes] of image.blobs) {
    const from = pushed.get(digest);
    const mount = from === undefined ? '' : `?mount=${digest}&from=${from}`;
    const upload = await expectOk(fetch(`${base}/blobs/uploads/${mount}`, { method: 'POST' }));
    pushed.set(digest, repository);
    if (upload.status === 201) continue;
    const url = new URL(upload.headers.get('location') ?? '', base);
    url.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream' };
    await expectOk(fetch(url, { method: 'PUT', body: Uint8Array.from(bytes), headers }));
  }
  // Push the members before their index.
  const manifests = [...image.manifests].toSorted(
    ([a], [b]) => Number(a === image.digest) - Number(b === image.digest),
  );
  for (const [digest, { bytes, mediaType }] of manifests) {
    for (const version of digest === image.digest ? [digest, tag] : [digest]) {
      const headers = { 'content-type': mediaType };
      await expectOk(fetch(`${base}/manifests/${version}`, { method: 'PUT', body: Uint8Array.from(bytes), headers }));
    }
  }
}

async function expectOk(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${text}`);
  return response;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
