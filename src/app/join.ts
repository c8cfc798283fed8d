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
import type { ClusterFlags } from '../terminal/flags.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** What the process knows of itself. */
export interface Surroundings {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly inCluster: boolean;
}

/** The cluster that the process has joined. */
export interface Joined {
  /** Absent: no cluster, or no right to call its API. */
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
 * Connects with kubeconfig files, or with our own service account. Rejects with `CommandError` if they cannot be used.
 */
export async function connect(access: KubeConfigOptions): Promise<Connected> {
  // Imported only here: without a cluster the start is faster.
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

/** Reports whether a service account token is mounted: without one the API server is not asked. */
export const hasServiceAccount = (): boolean => existsSync(`${SERVICE_ACCOUNT}/token`);

/** Reads our own Pod's namespace and resolv.conf. Call it only in a Pod: elsewhere the kubelet does not write the file. */
export function ownPlace({ environment }: Pick<Surroundings, 'environment'>): OwnPlace {
  const namespace = readIfThere(`${SERVICE_ACCOUNT}/namespace`) ?? environment['POD_NAMESPACE'];
  return optional({ namespace, resolvConf: readIfThere('/etc/resolv.conf') });
}

const userAgent = ({ version }: Surroundings): string => `libc-dns-webhook/${version}`;

/** Joins the cluster of kubeconfig files. Rejects with `CommandError` if they cannot be used. */
async function joinByKubeconfig(
  access: Pick<KubeConfigOptions, 'files' | 'context'>,
  surroundings: Surroundings,
  log: Log,
): Promise<Joined & { readonly client: KubeClient }> {
  const { client, transport } = await connect({ ...access, userAgent: userAgent(surroundings) });
  const { namespace } = transport;
  log.info({ server: client.server, namespace }, 'joined the cluster of the kubeconfig');
  return { client, own: optional({ namespace }) };
}

/** Joins the cluster we run in, if we do. */
async function joinOwn(surroundings: Surroundings, log: Log): Promise<Joined> {
  if (!surroundings.inCluster) return { own: {} };
  const own = ownPlace(surroundings);
  if (!hasServiceAccount()) {
    log.warn('no service account token is mounted: the API server is not asked, namespaces count as unlabelled');
    return { own };
  }
  const { client } = await connect({ userAgent: userAgent(surroundings) });
  log.info({ server: client.server, namespace: own.namespace }, 'joined the cluster of our service account');
  return { client, own };
}

/**
 * Joins the cluster that `--kubeconfig` names, else the one we run in, in the namespace of `--namespace`, else of the context or our Pod. Throws `CommandError` if
 * `--context` names a context of no file.
 */
export async function joinCluster(flags: ServeFlags, surroundings: Surroundings, log: Log): Promise<Joined> {
  const joined = await joinNamed(flags, surroundings, log);
  const { namespace } = flags;
  return namespace === undefined ? joined : { ...joined, own: { ...joined.own, namespace } };
}

async function joinNamed({ kubeconfig, context }: ClusterFlags, surroundings: Surroundings, log: Log): Promise<Joined> {
  if (kubeconfig === undefined) {
    if (context !== undefined) throw new CommandError('usage', '--context names a context of --kubeconfig: give both');
    return await joinOwn(surroundings, log);
  }
  return await joinByKubeconfig({ files: [kubeconfig], ...optional({ context }) }, surroundings, log);
}

/** How to reach the cluster that a person has chosen. */
interface ClusterChoice {
  /** Kubeconfig files; absent: the service account of our own Pod. */
  readonly files?: readonly string[];
  readonly context?: string;
}

/** Finds the cluster as kubectl does; returns a sentence if there is none. */
export function chooseCluster(
  { kubeconfig, context }: ClusterFlags,
  environment: NodeJS.ProcessEnv,
  inCluster: boolean,
): ClusterChoice | string {
  const named = context === undefined ? {} : { context };
  if (kubeconfig !== undefined) return { files: [kubeconfig], ...named };
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  if (listed.length > 0) {
    const files = [...new Set(listed)].filter((path) => existsSync(path));
    return files.length > 0 ? { files, ...named } : `KUBECONFIG names ${listed.join(', ')}, which does not exist`;
  }
  const standard = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(standard)) return { files: [standard], ...named };
  return inCluster ? {} : `neither --kubeconfig nor KUBECONFIG is given, and there is no ${standard}`;
}

/** The cluster that a person audits. */
export interface PersonsCluster extends Joined {
  readonly client: KubeClient;
  /** Whether we run in one of its Pods, and so see the resolv.conf and the DNS servers that its Pods see. */
  readonly inside: boolean;
}

/**
 * Joins the cluster that a person has chosen: `--kubeconfig`, `KUBECONFIG`, `~/.kube/config`, else the one we run in.
 * Rejects with `CommandError` if there is none, or if it cannot be used.
 */
export async function joinAsPerson(flags: ClusterFlags, surroundings: Surroundings, log: Log): Promise<PersonsCluster> {
  const chosen = chooseCluster(flags, surroundings.environment, surroundings.inCluster);
  if (typeof chosen === 'string') throw new CommandError('usage', `no cluster: ${chosen}`);
  if (chosen.files !== undefined) return { ...(await joinByKubeconfig(chosen, surroundings, log)), inside: false };
  const { client, own } = await joinOwn(surroundings, log);
  if (client === undefined) throw new CommandError('failed', 'no cluster: no service account token is mounted here');
  return { client, own, inside: true };
}

const quiet = (): void => {};

/** Returns a reporter for a person at a command line: it passes on only warnings and errors, without their fields. */
export function personalReporter(warn: (message: string) => void): Reporter {
  const line = (fields: unknown, message?: unknown): void => warn(String(message ?? fields));
  const log: Log = { trace: quiet, debug: quiet, info: quiet, warn: line, error: line };
  return createReporter({ log, clock: systemClock });
}
