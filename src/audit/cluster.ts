import type { Config } from '../config/schema.ts';
import type { OpenDetector } from '../detection/detector.ts';
import type { PodCredentials } from '../detection/pod/pod-verdicts.ts';
import { type Exposure, judgeExposure, linuxKernels } from '../exposure/exposure.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { type ClusterFlags, type CommonFlags, readSettings } from '../terminal/flags.ts';
import type { Io } from '../terminal/io.ts';
import { beforeAbort } from '../util/abort.ts';
import type { ClusterSection, Gap } from './report/report.ts';
import type { Scanned, Surroundings } from './scan/scanned.ts';
import type { LeftOut } from '../pod-resolvers/left-out.ts';

/** The webhook installed in the cluster; `namespace` is undefined if there is none. */
interface InstalledWebhook {
  /** Whether the API server has its registration; undefined if that could not be read. */
  readonly registered: boolean | undefined;
  readonly namespace: string | undefined;
  readonly configuration: { readonly name: string; readonly text: string } | undefined;
  /** Where the policy of the API server is alone. */
  readonly podResolvers?: LeftOut | undefined;
  readonly gaps: readonly Gap[];
}

/** The DNS facts of the cluster, each value with its source. */
export interface AuditFacts {
  readonly facts: ClusterFacts;
  readonly section: Omit<ClusterSection, 'kubeProxy' | 'dnsOverTcp' | 'exposure'>;
  /** `not asked` outside the cluster, or if the configuration turns the preflight off. */
  readonly dnsOverTcp: ClusterSection['dnsOverTcp'];
  readonly gaps: readonly Gap[];
}

export interface AuditDetector extends OpenDetector {
  /** Reads the pull secrets of Pods; undefined if the configuration does not allow it. */
  readonly credentials?: PodCredentials;
  readonly gaps: readonly Gap[];
}

export interface ScanRequest {
  /** Empty for all. */
  readonly namespaces: readonly string[];
  /** `namespace/name`. */
  readonly dnsService: string;
  readonly signal: AbortSignal;
  readonly onProgress: (what: string) => void;
}

/** Read-only access to a cluster. All methods reject with `CommandError` or the signal's reason. */
export interface AuditCluster {
  /** The API server's address. */
  readonly server: string;
  /** The namespace of the kubeconfig's context, or of our own Pod; undefined if there is none. */
  readonly namespace: string | undefined;
  /** Rejects unless the API server answers; what it allows does not matter. */
  ping(signal: AbortSignal): Promise<void>;
  installation(signal: AbortSignal): Promise<InstalledWebhook>;
  facts(config: Config): Promise<AuditFacts>;
  /** Reads everything that a decision needs except Pods. */
  surroundings(request: ScanRequest): Promise<Surroundings>;
  scan(request: ScanRequest): Promise<Scanned>;
  /** Uses verdicts that the webhook's replicas have stored; stores none itself. */
  openDetector(config: Config): Promise<AuditDetector>;
  close(): Promise<void>;
}

/** What `facts` lacks outside the cluster, if a redirect may write it. */
export const ASSUMED_OUTSIDE: Gap = {
  what: 'cluster domain and node searches',
  message: 'only a Pod sees them: assumed are cluster.local and no search domains of the nodes',
  grant: '--cluster-domain and --node-searches (the webhook reads them from its own resolv.conf)',
};

/** What decisions about Pods of a cluster come from, besides the Pods and their images. */
export interface ClusterTerms<S extends Surroundings = Surroundings> {
  readonly config: Config;
  /** The source of the configuration, for people. */
  readonly from: string;
  readonly facts: ClusterFacts;
  readonly section: ClusterSection;
  readonly surroundings: S;
  /** Besides those of the surroundings. */
  readonly gaps: readonly Gap[];
  /** Whether the webhook is installed; undefined if that could not be read. */
  readonly installed: boolean | undefined;
  readonly podResolvers: LeftOut | undefined;
}

interface TermsOptions<S extends Surroundings> {
  readonly io: Io;
  readonly flags: CommonFlags & ClusterFlags;
  /** Empty for all. */
  readonly namespaces: readonly string[];
  /** `scan` or `surroundings` of the cluster. */
  readonly read: (request: ScanRequest) => Promise<S>;
  readonly signal: AbortSignal;
  readonly onProgress: (what: string) => void;
}

/** Reads what decisions come from in a cluster, as its webhook would. Rejects with `CommandError` or the signal's reason. */
export async function readTerms<S extends Surroundings>(
  cluster: AuditCluster,
  { io, flags, namespaces, read, signal, onProgress }: TermsOptions<S>,
): Promise<ClusterTerms<S>> {
  onProgress('the webhook');
  const installed = await cluster.installation(signal);
  const { config, from } = await settingsFor(io, flags, installed.configuration);
  onProgress('the cluster DNS');
  const found = await orInterrupted(cluster.facts(config), signal);
  const surroundings = await read({ namespaces, dnsService: config.cluster.service, signal, onProgress });
  const { ownNamespace: _own, ...facts } = found.facts;
  const ownNamespace = installed.namespace;
  const exposure = clusterExposure(surroundings, found, config);
  const { dnsTcpPort, kubeProxy } = surroundings;
  return {
    config,
    from,
    facts: {
      ...facts,
      ...overTcp(found, surroundings),
      exposed: exposure.exposed,
      ...(ownNamespace !== undefined && { ownNamespace }),
    },
    section: {
      ...found.section,
      dnsOverTcp: found.dnsOverTcp === 'not asked' && dnsTcpPort === false ? 'no answer' : found.dnsOverTcp,
      kubeProxy,
      exposure: { setting: config.exposure, ...exposure },
    },
    surroundings,
    gaps: [...installed.gaps, ...found.gaps],
    installed: installed.registered,
    podResolvers: installed.podResolvers,
  };
}

/** A node-local cache counts where the webhook would look for it. */
function clusterExposure(
  { nodes, kubeProxy, nfqueueUsers }: Surroundings,
  { facts }: AuditFacts,
  config: Config,
): Exposure {
  return judgeExposure({
    nodes: nodes.length === 0 ? undefined : linuxKernels(nodes),
    kubeProxy,
    nfqueue: nfqueueUsers,
    nodeLocalIntercepts: config.nodeLocal.mode === 'auto' && facts.nodeLocal === 'intercepting',
  });
}

/** Order of precedence: `--config`, the installed webhook's configuration, the defaults. */
export async function settingsFor(
  io: Io,
  flags: CommonFlags,
  installed?: { readonly name: string; readonly text: string },
): Promise<{ readonly config: Config; readonly from: string }> {
  const named = flags.config ?? io.environment['LIBC_DNS_CONFIG'];
  const { config: own } = await readSettings(io, flags);
  if (named !== undefined && named !== '') return { config: own, from: named };
  if (installed === undefined) return { config: own, from: 'built-in defaults' };
  const inCluster = { ...io, readFile: async () => installed.text };
  const { config } = await readSettings(inCluster, { ...flags, config: installed.name });
  return { config: withOwnLogins(config, own.detection.registry), from: installed.name };
}

type RegistryConfig = Config['detection']['registry'];

/** Replaces the webhook's logins and certificate files, which exist only in its Pod, with the auditing person's own. */
function withOwnLogins(config: Config, { dockerConfig, caFile, identities }: RegistryConfig): Config {
  const registry = { ...config.detection.registry, dockerConfig, caFile, identities };
  return { ...config, detection: { ...config.detection, registry } };
}

/** If the cluster DNS was not asked over TCP, a TCP port of its Service counts as an answer. */
function overTcp({ facts, dnsOverTcp }: AuditFacts, { dnsTcpPort }: Surroundings): Pick<ClusterFacts, 'dnsOverTcp'> {
  return { dnsOverTcp: dnsOverTcp === 'not asked' ? dnsTcpPort !== false : facts.dnsOverTcp };
}

/** Stops waiting for a call that takes no signal once the signal aborts. `undo` cleans up if the call resolves later. */
export async function orInterrupted<T>(
  call: Promise<T>,
  signal: AbortSignal,
  undo?: (late: T) => Promise<void>,
): Promise<T> {
  await beforeAbort(call, signal);
  if (signal.aborted) void call.then(undo).catch(() => {});
  signal.throwIfAborted();
  return await call;
}
