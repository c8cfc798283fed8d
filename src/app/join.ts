import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

import type { OwnPlace } from '../cluster/dns-sources.ts';
import type { ServeFlags } from '../commands/serve.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import type { KubeConfigOptions, KubeConfigTransport } from '../kubernetes/kubeconfig.ts';
import type { Log } from '../telemetry/log.ts';
import { createReporter, type Reporter } from '../telemetry/reporter.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';

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

interface Connected {
  readonly client: KubeClient;
  readonly transport: KubeConfigTransport;
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

/**
 * Connects with kubeconfig files, or with our own service account. Rejects with `CommandError` where that cannot be used.
 */
export async function connect(access: KubeConfigOptions): Promise<Connected> {
  // Loaded only here: who does not join a cluster does not pay for it.
  const [{ createKubeClient }, { kubeConfigTransport }] = await Promise.all([
    import('../kubernetes/client.ts'),
    import('../kubernetes/kubeconfig.ts'),
  ]);
  try {
    const transport = kubeConfigTransport(access);
    return { transport, client: createKubeClient(transport) };
  } catch (error) {
    if (error instanceof KubeError) throw new CommandError('usage', error.message, { cause: error });
    throw error;
  }
}

/** Whether a token is mounted into our Pod: without one the API server is not asked. */
export const hasServiceAccount = (): boolean => existsSync(`${SERVICE_ACCOUNT}/token`);

/** What our own Pod tells. Only a Pod's resolv.conf is what the kubelet writes. */
export function ownPlace({ environment }: Pick<Surroundings, 'environment'>): OwnPlace {
  const namespace = readIfThere(`${SERVICE_ACCOUNT}/namespace`) ?? environment['POD_NAMESPACE'];
  return optional({ namespace, resolvConf: readIfThere('/etc/resolv.conf') });
}

const userAgent = ({ version }: Surroundings): string => `libc-dns-webhook/${version}`;

/** Joins the cluster of kubeconfig files. Rejects with `CommandError` where they cannot be used. */
async function joinByKubeconfig(
  access: Pick<KubeConfigOptions, 'files' | 'context'>,
  around: Surroundings,
  log: Log,
): Promise<Joined & { readonly client: KubeClient }> {
  const { client, transport } = await connect({ ...access, userAgent: userAgent(around) });
  const { namespace } = transport;
  log.info({ server: client.server, namespace }, 'joined the cluster of the kubeconfig');
  return { client, own: optional({ namespace }) };
}

/** Joins the cluster we run in, if we do. */
async function joinOwn(around: Surroundings, log: Log): Promise<Joined> {
  if (!around.inCluster) return { own: {} };
  const own = ownPlace(around);
  if (!hasServiceAccount()) {
    log.warn('no service account token is mounted: the API server is not asked, namespaces count as unlabelled');
    return { own };
  }
  const { client } = await connect({ userAgent: userAgent(around) });
  log.info({ server: client.server, namespace: own.namespace }, 'joined the cluster of our service account');
  return { client, own };
}

/** Joins the cluster that `--kubeconfig` names, else the one we run in. */
export async function joinCluster(
  { kubeconfig, context }: ServeFlags,
  around: Surroundings,
  log: Log,
): Promise<Joined> {
  if (kubeconfig === undefined) return await joinOwn(around, log);
  return await joinByKubeconfig({ files: [kubeconfig], ...optional({ context }) }, around, log);
}

/** The cluster that a person means. */
interface Meant {
  /** Kubeconfig files; absent: the service account of our own Pod. */
  readonly files?: readonly string[];
  readonly context?: string;
}

interface Choice {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Where to look for the cluster: as kubectl does. A sentence where there is none. */
export function meantCluster(
  { kubeconfig, context }: Choice,
  environment: NodeJS.ProcessEnv,
  inCluster: boolean,
): Meant | string {
  const named = context === undefined ? {} : { context };
  if (kubeconfig !== undefined) return { files: [kubeconfig], ...named };
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  if (listed.length > 0) {
    const files = [...new Set(listed)].filter((path) => existsSync(path));
    return files.length > 0 ? { files, ...named } : `KUBECONFIG names ${listed.join(', ')}, which is not there`;
  }
  const usual = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(usual)) return { files: [usual], ...named };
  return inCluster ? {} : `neither --kubeconfig nor KUBECONFIG is given, and there is no ${usual}`;
}

/** A cluster that a person looks at. */
export interface PersonsCluster extends Joined {
  readonly client: KubeClient;
  /** Whether we run in it, so that our own resolv.conf and the cluster DNS are those of its Pods. */
  readonly inside: boolean;
}

/**
 * Joins the cluster that a person means: `--kubeconfig`, `KUBECONFIG`, `~/.kube/config`, else the one we run in. Rejects with
 * `CommandError` where there is none, or where it cannot be used.
 */
export async function joinAsPerson(choice: Choice, around: Surroundings, log: Log): Promise<PersonsCluster> {
  const meant = meantCluster(choice, around.environment, around.inCluster);
  if (typeof meant === 'string') throw new CommandError('usage', `no cluster: ${meant}`);
  if (meant.files !== undefined) return { ...(await joinByKubeconfig(meant, around, log)), inside: false };
  const { client, own } = await joinOwn(around, log);
  if (client === undefined) throw new CommandError('failed', 'no cluster: no service account token is mounted here');
  return { client, own, inside: true };
}

const quiet = (): void => {};

/** Reports to a person at a command line: warnings alone, without their fields. */
export function personalReporter(warn: (message: string) => void): Reporter {
  const line = (fields: unknown, message?: unknown): void => warn(String(message ?? fields));
  const log: Log = { trace: quiet, debug: quiet, info: quiet, warn: line, error: line };
  return createReporter({ log, clock: systemClock });
}
