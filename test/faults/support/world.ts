import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { clusterMissing, startCluster, type TestCluster } from '../../support/cluster.ts';
import { elf } from '../../support/elf-builder.ts';
import { image } from '../../support/image-builder.ts';
import { install, type Installation, type InstallOptions } from '../../support/installation.ts';
import { layer } from '../../support/layer-builder.ts';
import {
  type Fault as RegistryFault,
  type Recorded,
  type RegistryServer,
  startRegistry,
} from '../../support/registry-server.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { type StartOptions, startWebhook, type WebhookProcess } from '../../support/webhook-process.ts';
import { HEAP } from './connections.ts';

/** A real API server with etcd, two replicas as processes, and a registry, all on this machine. */
export interface Cluster {
  readonly cluster: TestCluster;
  readonly installation: Installation;
  readonly registry: Registry;
  /** Sits between the replicas and the API server. */
  readonly proxy: TcpProxy;
}

export interface Registry extends RegistryServer {
  /** Makes the registry fail from now on; undefined ends that. */
  fail(fault: RegistryFault | undefined): void;
  /** Makes some of its answers fail from now on. */
  failAt(fault: (request: Recorded) => RegistryFault | undefined): void;
  /** Pushes a new image whose program uses musl. Returns its reference. */
  readonly newImage: (repository?: string) => string;
}

/** What faults are tried on. Each part is opened when first asked for. */
export interface World {
  /** Starts a replica without a cluster; it ends with the fault. */
  readonly webhook: (options?: StartOptions) => Promise<WebhookProcess>;
  readonly cluster: () => Promise<Cluster>;
  /** Registers a function to call after the fault was tried. */
  readonly afterwards: (end: () => unknown) => void;
}

export async function openRegistry(): Promise<Registry> {
  let fault: (request: Recorded) => RegistryFault | undefined = () => undefined;
  let images = 0;
  const server = await startRegistry({ fault: (request) => fault(request), delayMs: 2 });
  return {
    ...server,
    fail: (next) => {
      fault = () => next;
    },
    failAt: (next) => {
      fault = next;
    },
    newImage(repository) {
      images += 1;
      const program = Buffer.concat([elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }), Buffer.from(`${images}`)]);
      const layers = [layer([{ path: 'app', content: program }], 'gzip')];
      return server.put(
        `${repository ?? `team/app-${images}`}:v1`,
        image({ layers, config: { entrypoint: ['/app'] } }),
      );
    },
  };
}

export async function openCluster(options: InstallOptions = {}): Promise<Cluster> {
  const missing = clusterMissing();
  if (missing !== undefined) throw new NotTried(missing);
  const [cluster, registry] = await Promise.all([startCluster(), openRegistry()]);
  const proxy = await startTcpProxy(cluster.server);
  const { settings, ...rest } = options;
  const installation = await install(cluster, {
    replicas: 2,
    environment: HEAP,
    settings: {
      DETECTION_REGISTRY_INSECURE: registry.host,
      DETECTION_CACHE_STORE: 'cluster',
      GLIBC_TCP_PREFLIGHT: 'false',
      LOG_LEVEL: 'info',
      ...settings,
    },
    ...rest,
  });
  await cluster.createNamespace('shop', { 'libc-dns.dev/mode': 'enforce' });
  return { cluster, registry, proxy, installation };
}

export async function closeCluster({ installation, proxy, registry, cluster }: Cluster): Promise<void> {
  await installation.stop();
  await proxy.close();
  await registry.close();
  await cluster.stop();
}

/** Creates the world of one fault. `shared` opens the cluster that all faults share. */
export function createWorld(shared: () => Promise<Cluster>): { world: World; close: () => Promise<void> } {
  const ends: (() => unknown)[] = [];
  const afterwards = (end: () => unknown): void => void ends.push(end);
  return {
    world: {
      webhook: async (options = {}) => {
        const webhook = await startWebhook({
          ...options,
          settings: { LOG_LEVEL: 'info', GLIBC_TCP_PREFLIGHT: 'false', ...options.settings },
          flags: ['--namespace-mode', 'enforce', ...(options.flags ?? ['--offline'])],
        });
        afterwards(() => webhook.process.kill('SIGKILL'));
        return webhook;
      },
      cluster: shared,
      afterwards,
    },
    close: async () => {
      for (const end of ends.splice(0).toReversed()) await end();
    },
  };
}

/** Creates a folder that is removed after the fault was tried. */
export async function temporaryFolder({ afterwards }: Pick<World, 'afterwards'>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-faults-'));
  afterwards(() => rm(folder, { recursive: true }));
  return folder;
}

/** Returns the pid of a program that this process has started. */
export function childPid(program: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [, name, , parent] = /^\d+ \((.*)\) (\S) (\d+)/.exec(stat) ?? [];
      // The kernel cuts process names to 15 characters.
      if (name === program.slice(0, 15) && Number(parent) === process.pid) return Number(pid);
    } catch {
      // The process has ended meanwhile.
    }
  }
  throw new NotTried(`no ${program} of ours runs`);
}

export function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Thrown if this machine lacks what the fault needs. */
export class NotTried extends Error {
  override readonly name = 'NotTried';
}
