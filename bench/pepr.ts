import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { installedEnvironment, installedFlags } from './installed.ts';
import { freePort, launch, script, type BenchServer, type Keys } from './servers.ts';

/** The newest version in December 2026. npm chooses those of its dependencies, most of which it pins itself. */
const VERSION = '1.1.4';

/** Where what the bench installs is kept. */
const CACHE = join(homedir(), '.cache/libc-dns-webhook');

const INSTALL_MS = 5 * 60_000;

/**
 * Returns the folder in `cache` that npm has installed Pepr in, a framework for webhooks in TypeScript. Installs it if that was not done
 * before; undefined, after a warning, if npm cannot.
 */
export function installPepr(cache: string = CACHE, npm = 'npm'): string | undefined {
  const folder = join(cache, `pepr-${VERSION}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  // An install that is cut short leaves nothing that could be taken for Pepr.
  const part = mkdtempSync(`${folder}.`);
  const args = ['install', '--prefix', part, '--ignore-scripts', '--omit=peer', '--no-audit', '--no-fund'];
  const { status, error, stderr } = spawnSync(npm, [...args, `pepr@${VERSION}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: INSTALL_MS,
  });
  if (status === 0) {
    renameSync(part, folder);
    return folder;
  }
  rmSync(part, { recursive: true });
  const why = error?.message ?? `npm ended with ${status}: ${stderr.trim().split('\n')[0]}`;
  process.stderr.write(`!! Pepr ${VERSION} was not installed, and has no rows: ${why}\n`);
  return undefined;
}

/** An API server with nothing but Pepr's stores, of every name and empty: Pepr answers no review before it has read and watched its own. */
export interface StoreServer {
  readonly url: string;
  close(): Promise<void>;
}

const storeNamed = (name: string): object => ({
  apiVersion: 'pepr.dev/v1',
  kind: 'PeprStore',
  metadata: { name, namespace: 'pepr-system', uid: name, resourceVersion: '1', labels: {} },
  data: {},
});

export async function startStoreServer(): Promise<StoreServer> {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
    const name = /\/peprstores(?:\/([^/]+))?$/.exec(pathname);
    response.setHeader('content-type', 'application/json');
    if (name === null) {
      response.writeHead(404).end('{}');
    } else if (searchParams.get('watch') === 'true') {
      // Nothing ever changes.
      response.flushHeaders();
    } else if (name[1] === undefined) {
      const items = [storeNamed(searchParams.get('fieldSelector')?.replace('metadata.name=', '') ?? '')];
      response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items }));
    } else {
      response.end(JSON.stringify(storeNamed(name[1])));
    }
    request.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Writes a kubeconfig of a server without users into the keys' folder. Returns its path. */
function kubeconfigFor(url: string, { folder }: Keys): string {
  const path = join(folder, 'pepr-kubeconfig.json');
  const config = {
    clusters: [{ name: 'stores', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'nobody', user: {} }],
    contexts: [{ name: 'stores', context: { cluster: 'stores', user: 'nobody' } }],
    'current-context': 'stores',
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** Reports whether Pepr has bound its paths: it listens long before. */
async function isHealthy(port: number, ca: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const signal = AbortSignal.timeout(1000);
    const url = { host: '127.0.0.1', port, path: '/healthz', ca, servername: 'localhost', agent: false, signal };
    get(url, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

const TOKEN = 'bench';

/** Starts Pepr with the floor's environment and flags, its own log, and a stand-in for the API server that keeps its store. */
export async function startPepr(keys: Keys, folder: string): Promise<BenchServer> {
  const stores = await startStoreServer();
  const port = await freePort();
  try {
    const server = await launch({
      name: 'pepr',
      command: process.execPath,
      args: [...installedFlags(), script('pepr'), folder, String(port)],
      env: {
        ...installedEnvironment(),
        SSL_CERT_PATH: keys.certFile,
        SSL_KEY_PATH: keys.keyFile,
        PEPR_API_PATH: TOKEN,
        PEPR_WATCH_MODE: 'false',
        KUBECONFIG: kubeconfigFor(stores.url, keys),
      },
      port,
      path: `/mutate/${TOKEN}`,
      isReady: () => isHealthy(port, keys.ca),
      keys,
    });
    return {
      ...server,
      async stop() {
        await server.stop();
        await stores.close();
      },
    };
  } catch (error) {
    await stores.close();
    throw error;
  }
}
