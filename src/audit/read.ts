import { backendsWithoutCluster } from '../cluster/reach/reach.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { OpenDetector } from '../detection/detector.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { PodCredentials } from '../detection/pod/pod-verdicts.ts';
import { type Exposure, judgeExposure, linuxKernels, UNREAD } from '../exposure/exposure.ts';
import { namespaceLabels, podTemplates } from '../manifests/pod-templates.ts';
import { policiesIn } from '../manifests/reach.ts';
import { readManifests } from '../manifests/read.ts';
import type { ClusterFacts, NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { type ClusterFlags, type CommonFlags, configuredFacts, readSettings } from '../terminal/flags.ts';
import type { DetectingCommand, Io } from '../terminal/io.ts';
import { beforeAbort } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { decideGroups } from './decide.ts';
import { lookUpImages } from './look-ups.ts';
import { buildReport } from './report/build-report.ts';
import { type AuditReport, type AuditSource, type ClusterSection, type Gap, sourcedText } from './report/report.ts';
import { createPodGroups } from './scan/pod-groups.ts';
import type { Scanned } from './scan/scanned.ts';

export interface AuditFlags extends Omit<CommonFlags, 'namespace'>, ClusterFlags {
  readonly namespace?: readonly string[];
  readonly filename?: readonly string[];
}

/** The webhook installed in the cluster; `namespace` is undefined if there is none. */
interface InstalledWebhook {
  readonly namespace: string | undefined;
  readonly configuration: { readonly name: string; readonly text: string } | undefined;
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
  installation(signal: AbortSignal): Promise<InstalledWebhook>;
  facts(config: Config): Promise<AuditFacts>;
  scan(request: ScanRequest): Promise<Scanned>;
  /** Uses verdicts that the webhook's replicas have stored; stores none itself. */
  openDetector(config: Config): Promise<AuditDetector>;
  close(): Promise<void>;
}

/** The dependencies of `libc-dns audit`. */
export interface AuditingCommand extends DetectingCommand {
  readonly version: string;
  /** Connects to the cluster that the flags select. Rejects with `CommandError` if there is none. */
  readonly openCluster: (flags: ClusterFlags) => Promise<AuditCluster>;
  /** Replaces the file atomically. Rejects with the error of node:fs. */
  readonly writeFile: (path: string, text: string) => Promise<void>;
  /** Returns a signal that aborts on SIGINT or SIGTERM. After this call these no longer end the process. */
  readonly untilInterrupted: () => AbortSignal;
  readonly now: () => Date;
}

/** A progress line on standard error. */
interface AuditProgress {
  readonly step: (what: string) => void;
  readonly images: (done: number, all: number, image: string) => void;
  /** Erases the line. */
  readonly done: () => void;
}

/** The inputs of a report, except the images. */
interface Subject {
  readonly source: AuditSource;
  readonly scanned: Scanned;
  readonly config: Config;
  readonly facts: ClusterFacts;
  readonly cluster: ClusterSection;
  readonly gaps: readonly Gap[];
  /** Labels assumed for namespaces without our label: manifests are read as if they enforced. */
  readonly unlabelled: Readonly<Record<string, string>>;
}

interface ReadOptions {
  readonly parts: AuditingCommand;
  readonly flags: AuditFlags;
  readonly signal: AbortSignal;
  readonly progress: AuditProgress;
}

/** Reads the cluster, or the named manifests, and builds the report. Rejects with `CommandError` or the signal's reason. */
export async function readAudit(options: ReadOptions): Promise<AuditReport> {
  return options.flags.filename === undefined ? await auditCluster(options) : await auditManifests(options);
}

async function auditCluster(options: ReadOptions): Promise<AuditReport> {
  const cluster = await options.parts.openCluster(options.flags);
  try {
    const { subject, config } = await clusterSubject(cluster, options);
    const detection = await orInterrupted(cluster.openDetector(config), options.signal, (late) => late.close());
    try {
      const gaps = [...subject.gaps, ...detection.gaps];
      return await reportOn({ ...subject, gaps }, detection, options);
    } finally {
      await detection.close();
    }
  } finally {
    await cluster.close();
  }
}

async function clusterSubject(
  cluster: AuditCluster,
  options: ReadOptions,
): Promise<{ subject: Subject; config: Config }> {
  const { flags, signal, progress } = options;
  progress.step('the webhook');
  const installed = await cluster.installation(signal);
  const { config, from } = await settingsFor(options, installed.configuration);
  progress.step('the cluster DNS');
  const found = await orInterrupted(cluster.facts(config), signal);
  const namespaces = [...new Set(flags.namespace)].toSorted();
  const dnsService = config.cluster.service;
  const scanned = await cluster.scan({ namespaces, dnsService, signal, onProgress: progress.step });
  const { ownNamespace: _own, ...facts } = found.facts;
  const ownNamespace = installed.namespace;
  const exposure = clusterExposure(scanned, found, config);
  const subject: Subject = {
    source: { kind: 'cluster', server: cluster.server, namespaces, files: [], configuration: from },
    scanned,
    config,
    facts: {
      ...facts,
      ...overTcp(found, scanned),
      exposed: exposure.exposed,
      ...(ownNamespace !== undefined && { ownNamespace }),
    },
    cluster: {
      ...found.section,
      dnsOverTcp: found.dnsOverTcp === 'not asked' && scanned.dnsTcpPort === false ? 'no answer' : found.dnsOverTcp,
      kubeProxy: scanned.kubeProxy,
      exposure: { setting: config.exposure, ...exposure },
    },
    gaps: [...installed.gaps, ...found.gaps],
    unlabelled: {},
  };
  return { subject, config };
}

/** A node-local cache counts where the webhook would look for it. */
function clusterExposure({ nodes, kubeProxy, nfqueueUsers }: Scanned, { facts }: AuditFacts, config: Config): Exposure {
  return judgeExposure({
    nodes: nodes.length === 0 ? undefined : linuxKernels(nodes),
    kubeProxy,
    nfqueue: nfqueueUsers,
    nodeLocalIntercepts: config.nodeLocal.mode === 'auto' && facts.nodeLocal === 'intercepting',
  });
}

/** Order of precedence: `--config`, the installed webhook's configuration, the defaults. */
async function settingsFor({ parts, flags }: ReadOptions, installed: { name: string; text: string } | undefined) {
  const { namespace: _namespace, ...common } = flags;
  const named = flags.config ?? parts.io.environment['LIBC_DNS_CONFIG'];
  if (named !== undefined && named !== '') {
    return { config: (await readSettings(parts.io, common)).config, from: named };
  }
  const { config: own } = await readSettings(parts.io, common);
  if (installed === undefined) return { config: own, from: 'built-in defaults' };
  const io = { ...parts.io, readFile: async () => installed.text };
  const { config } = await readSettings(io, { ...common, config: installed.name });
  return { config: withOwnLogins(config, own.detection.registry), from: installed.name };
}

type RegistryConfig = Config['detection']['registry'];

/** Replaces the webhook's logins and certificate files, which exist only in its Pod, with those of the person who audits. */
function withOwnLogins(config: Config, { dockerConfig, caFile, identities }: RegistryConfig): Config {
  const registry = { ...config.detection.registry, dockerConfig, caFile, identities };
  return { ...config, detection: { ...config.detection, registry } };
}

/** If the cluster DNS was not asked over TCP, a TCP port of its Service counts as an answer. */
function overTcp({ facts, dnsOverTcp }: AuditFacts, { dnsTcpPort }: Scanned): Pick<ClusterFacts, 'dnsOverTcp'> {
  return { dnsOverTcp: dnsOverTcp === 'not asked' ? dnsTcpPort !== false : facts.dnsOverTcp };
}

/** Stops waiting for a call that takes no signal once the signal aborts. `undo` cleans up if the call resolves later. */
async function orInterrupted<T>(call: Promise<T>, signal: AbortSignal, undo?: (late: T) => Promise<void>): Promise<T> {
  await beforeAbort(call, signal);
  if (signal.aborted) void call.then(undo).catch(() => {});
  signal.throwIfAborted();
  return await call;
}

async function auditManifests(options: ReadOptions): Promise<AuditReport> {
  const subject = await manifestSubject(options);
  const detection = await options.parts.openDetector(subject.config, { images: [] });
  try {
    return await reportOn(subject, { ...detection, gaps: [] }, options);
  } finally {
    await detection.close();
  }
}

/** Each Pod and each Pod template of the manifests counts once. */
async function manifestSubject(options: ReadOptions): Promise<Subject> {
  const { parts, flags } = options;
  const { config, from } = await settingsFor(options, undefined);
  const manifests = await readManifests(parts.io, flags.filename ?? []);
  const groups = createPodGroups();
  const namespaces = new Map<string, Record<string, string>>();
  const [fallback = 'default'] = flags.namespace ?? [];
  const documents = manifests.flatMap((one) => one.documents);
  for (const { value } of documents) {
    for (const [name, labels] of namespaceLabels(value)) namespaces.set(name, labels);
    for (const { kind, namespace, name, pod } of podTemplates(value)) {
      groups.add({ kind, namespace: namespace || fallback, name: name || '(unnamed)' }, pod, undefined);
    }
  }
  const { facts } = configuredFacts(config);
  const files = manifests.map(({ name }) => name);
  const unread = manifests.flatMap(({ name, problems }) =>
    problems.map((problem): Gap => ({
      what: name,
      message: problem.slice(name.length + 2),
      grant: 'nothing: correct the document',
    })),
  );
  for (const { what, message } of unread) parts.io.err(`libc-dns: ${what}: ${message}\n`);
  return {
    source: { kind: 'manifests', server: '', namespaces: [], files, configuration: from },
    scanned: {
      groups: groups.all(),
      namespaces,
      nodes: [],
      networkPolicies: policiesIn(documents, fallback),
      behindDns: backendsWithoutCluster(facts, policyConfig(config), config.cluster.service),
      kubeProxy: NOT_READ,
      nfqueueUsers: undefined,
      dnsTcpPort: undefined,
      gaps: [],
    },
    config,
    facts,
    cluster: manifestCluster(config, facts),
    gaps: unread,
    unlabelled: { [MODE_LABEL]: 'enforce' },
  };
}

function manifestCluster(config: Config, facts: ClusterFacts): ClusterSection {
  const { dns, domain, nodeSearches } = config.cluster;
  const detail = 'not looked for: manifests do not tell';
  return {
    dns: sourcedText(facts.dns, sourceOf(dns)),
    domain: sourcedText(facts.domain, sourceOf(domain)),
    nodeSearches: sourcedText(facts.nodeSearches, sourceOf(nodeSearches)),
    dnsOverTcp: 'not asked',
    nodeLocal: { state: facts.nodeLocal, source: 'not looked for', detail },
    kubeProxy: NOT_READ,
    exposure: { setting: config.exposure, ...UNREAD },
  };
}

const NOT_READ = { mode: 'unknown', source: 'manifests', detail: 'manifests do not tell' } as const;

const sourceOf = (value: unknown): string => (value === 'auto' ? 'built-in' : 'configuration');

/** Looks up the images and builds the report. */
async function reportOn(subject: Subject, { detector, credentials }: AuditDetector, options: ReadOptions) {
  const { parts, flags, signal, progress } = options;
  const { scanned, config, facts } = subject;
  const platform = parsePlatform(config.detection.platform);
  const lookups = await lookUpImages(scanned.groups, {
    detector,
    platform,
    credentials,
    signal,
    onProgress: progress.images,
  });
  const viewOf = viewsOf(subject, flags.namespaceMode);
  const policy = policyConfig(config);
  const detecting = detector !== undefined;
  const decided = await decideGroups(scanned.groups, {
    config: policy,
    facts,
    lookups,
    detecting,
    platform,
    viewOf,
    scanned,
    service: config.cluster.service,
    respected: config.networkPolicies,
  });
  return buildReport({
    ...subject,
    config: policy,
    respected: config.networkPolicies,
    decided,
    viewOf,
    version: parts.version,
    generatedAt: parts.now(),
  });
}

function viewsOf({ scanned, unlabelled }: Subject, mode: string | undefined): (name: string) => NamespaceView {
  return (name) => {
    const own = { ...unlabelled, ...scanned.namespaces.get(name) };
    return { name, labels: mode === undefined ? own : { ...own, [MODE_LABEL]: mode } };
  };
}

const BAR_WIDTH = 24;

/** Milliseconds between updates of the line: terminals are slow. */
const UPDATE_MS = 100;

const bar = (done: number, all: number): string => {
  const full = all === 0 ? BAR_WIDTH : Math.floor((done / all) * BAR_WIDTH);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
};

const quiet = (): void => {};

/** Returns a progress line that writes nothing if standard error is not a terminal. */
export function auditProgress(io: Io, clock: Pick<Clock, 'monotonic'>): AuditProgress {
  if (!io.stderrIsTerminal) return { step: quiet, images: quiet, done: quiet };
  let written = -UPDATE_MS;
  const line = (text: string, always: boolean): void => {
    const now = clock.monotonic();
    if (!always && now - written < UPDATE_MS) return;
    written = now;
    io.progress(text);
  };
  return {
    step: (what) => line(`reading ${what} ...`, false),
    images: (done, all, image) => {
      line(`${bar(done, all)} ${done}/${all} images  ${image}`, done === all);
    },
    done: () => io.progress(''),
  };
}
