import { existsSync, readFileSync } from 'node:fs';

import { CommandError } from './commands/errors.ts';
import type { ServeFlags } from './commands/serve.ts';
import type { KubeClient } from './kubernetes/client.ts';
import { KubeError } from './kubernetes/kube-error.ts';
import type { OwnPlace } from './kubernetes/cluster-dns.ts';
import type { Log } from './telemetry/log.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** What the process itself brings. */
export interface Surroundings {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly inCluster: boolean;
}

/** The cluster we belong to, as far as there is one. */
export interface Joined {
  /** Absent: no cluster, or one that we may not call. */
  readonly client?: KubeClient;
  readonly own: OwnPlace;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function optional<T extends object>(object: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}

interface Access {
  readonly file?: string;
  readonly context?: string;
  readonly userAgent: string;
}

async function connect(access: Access): Promise<{ client: KubeClient; namespace: string | undefined }> {
  // Loaded only here: who does not join a cluster does not pay for it.
  const [{ createKubeClient }, { kubeConfigTransport }] = await Promise.all([
    import('./kubernetes/client.ts'),
    import('./kubernetes/kube-config.ts'),
  ]);
  try {
    const transport = kubeConfigTransport(access);
    return { client: createKubeClient(transport), namespace: transport.namespace };
  } catch (error) {
    if (error instanceof KubeError) throw new CommandError('usage', error.message, { cause: error });
    throw error;
  }
}

/**
 * Joins the cluster that `--kubeconfig` names, else the one we run in. Only a Pod's own resolv.conf tells what the kubelet
 * writes. Rejects with `CommandError` where the kubeconfig cannot be used.
 */
export async function joinCluster(
  { kubeconfig, context }: ServeFlags,
  around: Surroundings,
  log: Log,
): Promise<Joined> {
  const userAgent = `libc-dns-webhook/${around.version}`;
  if (kubeconfig !== undefined) {
    const { client, namespace } = await connect({ file: kubeconfig, userAgent, ...optional({ context }) });
    log.info({ server: client.server, namespace }, 'joined the cluster of the kubeconfig');
    return { client, own: optional({ namespace }) };
  }
  if (!around.inCluster) return { own: {} };
  const namespace = readIfThere(`${SERVICE_ACCOUNT}/namespace`) ?? around.environment['POD_NAMESPACE'];
  const own = optional({ namespace, resolvConf: readIfThere('/etc/resolv.conf') });
  if (!existsSync(`${SERVICE_ACCOUNT}/token`)) {
    log.warn('no service account token is mounted: the API server is not asked, namespaces count as unlabelled');
    return { own };
  }
  const { client } = await connect({ userAgent });
  log.info({ server: client.server, namespace }, 'joined the cluster of our service account');
  return { client, own };
}
