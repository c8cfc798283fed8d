import { chmod, copyFile, writeFile } from 'node:fs/promises';
import { FOLDER, runWithin, type Service, startService } from './namespaces.ts';

/** The cache in a Pod. */
export interface Sidecar {
  start(): Promise<void>;
  /** Ends it as the kubelet does, and resolves once it has ended. */
  stop(): Promise<void>;
}

/** Starts the cache in the Pod `name` with a Corefile. */
export type AddSidecar = (name: string, corefile: string) => Promise<Sidecar>;

/** Where users other than root can run it. */
const PROGRAM = `${FOLDER}/coredns`;

/** Like Pod Security `restricted` has it: not root, no way to become root, no capabilities. */
const RESTRICTED = ['setpriv', '--reuid=65532', '--regid=65532', '--clear-groups', '--no-new-privs'];
const NO_CAPABILITIES = ['--bounding-set=-all', '--inh-caps=-all'];

/** Prepares CoreDNS for Pods. Starting it rejects if there is no `coreDns`, which is its path. */
export async function sidecars(coreDns?: string): Promise<AddSidecar> {
  if (coreDns === undefined) return () => Promise.reject(new Error('there is no CoreDNS'));
  await copyFile(coreDns, PROGRAM);
  await chmod(PROGRAM, 0o755);
  return async (name, corefile) => {
    const file = `${FOLDER}/${name}/Corefile`;
    await writeFile(file, corefile);
    // containerd's default since 2.0; the image's program has a capability for older ones.
    await runWithin(name, ['sysctl', '-q', '-w', 'net.ipv4.ip_unprivileged_port_start=0']);
    const argv = [...RESTRICTED, ...NO_CAPABILITIES, PROGRAM, '-conf', file];
    let service: Service | undefined;
    const start = async (): Promise<void> => {
      service = await startService(name, argv, /CoreDNS-/);
    };
    await start();
    return { start, stop: async () => await service?.stop() };
  };
}
