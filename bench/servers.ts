import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { createCertificate } from '../test/support/certificate.ts';
import { installedEnvironment, installedFlags } from './installed.ts';

/** A server under measurement, in its own process. */
export interface BenchServer {
  readonly name: string;
  readonly port: number;
  readonly path: string;
  readonly pid: number;
  /** Milliseconds from the start of the process until it is ready. */
  readonly readyMs: number;
  /** Port of metrics and probes; 0 if it has none. */
  readonly probesPort: number;
  stop(): Promise<void>;
}

/** The certificate and key that all servers share, and their folder. */
export interface Keys {
  readonly folder: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly ca: string;
  remove(): void;
}

export async function makeKeys(): Promise<Keys> {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-bench-'));
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  mkdirSync(join(folder, 'logs'));
  const { cert, key } = await createCertificate();
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  return { folder, certFile, keyFile, ca: cert, remove: () => rmSync(folder, { recursive: true }) };
}

/** Returns a port of this machine that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Launch {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
  readonly path?: string;
  readonly probesPort?: number;
  /** Reports whether it serves; by default it is asked at its probes, or connected to if it has none. */
  readonly isReady?: () => Promise<boolean>;
  readonly keys: Keys;
}

/** In a folder of its own: ours watches that of the certificate, and would be told of each line. */
const logOf = ({ folder }: Keys, name: string, port: number): string => join(folder, 'logs', `${name}-${port}.log`);

async function answers(url: string): Promise<boolean> {
  return await fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function connects(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('connect', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('close', () => socket.destroy());
    socket.on('connect', () => socket.end());
  });
}

async function untilReady(child: ChildProcess, { port, probesPort = 0, name, isReady, keys }: Launch): Promise<void> {
  const asked = (): Promise<boolean> =>
    probesPort === 0 ? connects(port) : answers(`http://127.0.0.1:${probesPort}/readyz`);
  for (let tries = 0; tries < 6000; tries += 1) {
    if (child.exitCode !== null) {
      throw new Error(
        `${name} ended with ${child.exitCode}: ${readFileSync(logOf(keys, name, port), 'utf8').slice(-500)}`,
      );
    }
    if (await (isReady ?? asked)()) return;
    await sleep(5);
  }
  throw new Error(`${name} was not ready within 30 s`);
}

/** Starts a server and waits until it is ready. Its output goes to a file, so that this process need not read it meanwhile. */
export async function launch(options: Launch): Promise<BenchServer> {
  const { name, command, args, env = {}, port, path = '/mutate', probesPort = 0, keys } = options;
  const log = openSync(logOf(keys, name, port), 'w');
  const began = performance.now();
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], HOME: keys.folder, ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  await untilReady(child, options);
  const readyMs = performance.now() - began;
  return {
    name,
    port,
    path,
    pid: child.pid ?? 0,
    readyMs,
    probesPort,
    async stop() {
      process.off('exit', kill);
      if (child.exitCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

interface OursOptions {
  readonly main: string;
  readonly name?: string;
  readonly settings?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  /** More environment variables. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Makes it drain before it ends, as in a Pod. It has no token, so it asks no API server. */
  readonly inPod?: boolean;
}

/** Starts our server from its bundle, with the default log and with the environment and flags of its image and chart. */
export async function startOurs(
  keys: Keys,
  { main, name = 'ours', settings = {}, flags = [], environment = {}, inPod = false }: OursOptions,
): Promise<BenchServer> {
  const [port, probesPort] = [await freePort(), await freePort()];
  const all = {
    SERVER_PORT: String(port),
    SERVER_METRICS_PORT: String(probesPort),
    TLS_MODE: 'files',
    TLS_CERT_FILE: keys.certFile,
    TLS_KEY_FILE: keys.keyFile,
    CLUSTER_DNS: '127.0.0.1',
    GLIBC_TCP_PREFLIGHT: 'false',
    ...settings,
  };
  const own = Object.fromEntries(Object.entries(all).map(([key, value]) => [`LIBC_DNS_${key}`, value]));
  return await launch({
    name,
    command: process.execPath,
    args: [...installedFlags(), main, 'serve', ...flags],
    env: { ...installedEnvironment(), ...environment, ...own, ...(inPod && { KUBERNETES_SERVICE_HOST: '127.0.0.1' }) },
    port,
    probesPort,
    keys,
  });
}

/** Returns the path of a server's program. */
export const script = (name: string): string => fileURLToPath(new URL(`servers/${name}.ts`, import.meta.url));

/** Starts the floor with our environment and flags, so that the comparison is not about how Node is set up. */
export async function startFloor(keys: Keys, { name = 'floor', patch = '' } = {}): Promise<BenchServer> {
  const port = await freePort();
  const args = [...installedFlags(), script('floor'), keys.certFile, keys.keyFile, String(port), '127.0.0.1', patch];
  return await launch({ name, command: process.execPath, args, env: installedEnvironment(), port, keys });
}

/** Starts a floor that also patches, logs and counts each Pod, and decides nothing. */
export async function startTellingFloor(keys: Keys): Promise<BenchServer> {
  const port = await freePort();
  const args = [...installedFlags(), script('telling'), keys.certFile, keys.keyFile, String(port)];
  return await launch({
    name: 'telling floor',
    command: process.execPath,
    args,
    env: installedEnvironment(),
    port,
    keys,
  });
}

/** Starts a webhook as commonly written in TypeScript, with Node's defaults. */
export async function startTypical(keys: Keys, kubeconfig: string): Promise<BenchServer> {
  const port = await freePort();
  const args = [script('typical'), keys.certFile, keys.keyFile, String(port), kubeconfig];
  return await launch({ name: 'typical', command: process.execPath, args, port, keys });
}

/** Starts a peer that takes the flags of Kubernetes' test webhook (agnhost). */
export async function startPeer(keys: Keys, name: string, command: string, path: string): Promise<BenchServer> {
  const port = await freePort();
  const args = [
    'webhook',
    `--tls-cert-file=${keys.certFile}`,
    `--tls-private-key-file=${keys.keyFile}`,
    `--port=${port}`,
  ];
  return await launch({ name, command, args, port, path, keys });
}
