import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { rootManifest, type BuiltImage } from '../support/image-builder.ts';

/** Debian's docker-registry (the distribution project's reference registry) as a child process, filled by pushing. */
export interface DebianRegistry {
  readonly host: string;
  /** Pushes an image as `name:latest`. Rejects with the registry's own words where it does not take it. */
  push(name: string, image: BuiltImage): Promise<void>;
  close(): Promise<void>;
}

export function hasDebianRegistry(): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'docker-registry')));
}

export async function startDebianRegistry(): Promise<DebianRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'docker-registry-'));
  const host = `127.0.0.1:${await freePort()}`;
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: host, relativeurls: true },
    // The Windows image's base layer stands elsewhere.
    validation: { disabled: true },
  };
  const file = join(directory, 'config.yml');
  await writeFile(file, JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
  try {
    await untilItAnswers(host, child);
  } catch (error) {
    await stop(child, directory);
    throw error;
  }
  const pushed = new Map<string, string>();
  return {
    host,
    push: (name, image) => push(`http://${host}/v2`, name, image, pushed),
    close: () => stop(child, directory),
  };
}

async function push(api: string, name: string, image: BuiltImage, pushed: Map<string, string>): Promise<void> {
  for (const [digest, bytes] of image.blobs) {
    const from = pushed.get(digest);
    const mount = from === undefined ? '' : `?mount=${digest}&from=${from}`;
    const started = await send(`${api}/${name}/blobs/uploads/${mount}`, 'POST', undefined);
    if (started.status !== 201) {
      const upload = new URL(started.headers.get('location') ?? '', `${api}/`);
      upload.searchParams.set('digest', digest);
      await send(upload.href, 'PUT', bytes, 'application/octet-stream');
    }
    pushed.set(digest, name);
  }
  for (const [digest, { mediaType, bytes }] of image.manifests) {
    if (digest !== image.digest) await send(`${api}/${name}/manifests/${digest}`, 'PUT', bytes, mediaType);
  }
  await send(`${api}/${name}/manifests/latest`, 'PUT', rootManifest(image).bytes, image.mediaType);
}

async function send(url: string, method: string, body: Buffer | undefined, type?: string): Promise<Response> {
  const response = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    ...(type === undefined ? {} : { headers: { 'content-type': type } }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${answer}`);
  return response;
}

async function untilItAnswers(host: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    if (answer?.ok === true) return;
    if (child.exitCode !== null) throw new Error(`docker-registry ended with status ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error('docker-registry did not answer within 20 s');
    await wait(50);
  }
}

async function stop(child: ChildProcess, directory: string): Promise<void> {
  if (child.exitCode === null) {
    child.kill();
    await once(child, 'exit');
  }
  await rm(directory, { recursive: true, force: true });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
