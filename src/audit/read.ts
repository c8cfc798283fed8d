import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { PodCredentials } from '../detection/pod-verdicts.ts';
import { namespaceLabels, podTemplates } from '../manifests/pod-templates.ts';
import { readManifests } from '../manifests/read.ts';
import type { ClusterFacts, NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { type CommonFlags, configuredFacts, readSettings } from '../terminal/flags.ts';
import type { DetectingCommand, Io, OpenDetector } from '../terminal/io.ts';
import { beforeAbort } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { printable } from '../util/text.ts';
import { decideGroups } from './decide.ts';
import { lookUpImages } from './look-ups.ts';
import { buildReport } from './report/build-report.ts';
import type { AuditReport, AuditSource, ClusterSection, Gap } from './report/report.ts';
import { createPodGroups } from './scan/pod-groups.ts';
import type { Scanned } from './scan/scanned.ts';

export interface AuditFlags extends Omit<CommonFlags, 'namespace'>, ClusterFlags {
  readonly namespace?: readonly string[];
  readonly filename?: readonly string[];
}

/** Everything that a report is made of, but for the images. */
interface Subject {
  readonly source: AuditSource;
  readonly scanned: Scanned;
  readonly config: Config;
  readonly facts: ClusterFacts;
  readonly cluster: ClusterSection;
  readonly gaps: readonly Gap[];
  /** Where namespaces have no label: manifests are read as if they enforced. */
  readonly unlabelled: Readonly<Record<string, string>>;
}

interface ReadOptions {
  readonly parts: AuditingCommand;
  readonly flags: AuditFlags;
  readonly signal: AbortSignal;
  readonly progress: AuditProgress;
}

function viewsOf({ scanned, unlabelled }: Subject, mode: string | undefined): (name: string) => NamespaceView {
  return (name) => {
    const label = mode ?? scanned.namespaces.get(name);
    return { name, labels: label === undefined ? unlabelled : { [MODE_LABEL]: label } };
  };
}

/** Looks the images up and puts the report together. */
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
  });
  return buildReport({ ...subject, config: policy, decided, viewOf, version: parts.version, generatedAt: parts.now() });
}

type RegistryConfig = Config['detection']['registry'];

/** Logins and files are the webhook's own, in its Pod: whoever audits has others, from the environment or none. */
function asPerson(config: Config, { dockerConfig, caFile, identities }: RegistryConfig): Config {
  const registry = { ...config.detection.registry, dockerConfig, caFile, identities };
  return { ...config, detection: { ...config.detection, registry } };
}

/** `--config` goes before the configuration of the webhook that is installed, which goes before the defaults. */
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
  return { config: asPerson(config, own.detection.registry), from: installed.name };
}

/** Over TCP: what was asked, else whether the DNS Service has a port for it. */
function overTcp({ facts, dnsOverTcp }: AuditFacts, { dnsTcpPort }: Scanned): Pick<ClusterFacts, 'dnsOverTcp'> {
  return { dnsOverTcp: dnsOverTcp === 'not asked' ? dnsTcpPort !== false : facts.dnsOverTcp };
}

/** What knows of no signal is left behind; `undo` is for what comes of it all the same. */
async function orInterrupted<T>(call: Promise<T>, signal: AbortSignal, undo?: (late: T) => Promise<void>): Promise<T> {
  await beforeAbort(call, signal);
  if (signal.aborted) void call.then(undo).catch(() => {});
  signal.throwIfAborted();
  return await call;
}

async function ofCluster(cluster: AuditCluster, options: ReadOptions): Promise<{ subject: Subject; config: Config }> {
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
  const subject: Subject = {
    source: { kind: 'cluster', server: cluster.server, namespaces, files: [], configuration: from },
    scanned,
    config,
    facts: { ...facts, ...overTcp(found, scanned), ...(ownNamespace !== undefined && { ownNamespace }) },
    cluster: {
      ...found.section,
      dnsOverTcp: found.dnsOverTcp === 'not asked' && scanned.dnsTcpPort === false ? 'no answer' : found.dnsOverTcp,
      kubeProxy: scanned.kubeProxy,
    },
    gaps: [...installed.gaps, ...found.gaps],
    unlabelled: {},
  };
  return { subject, config };
}

async function auditCluster(options: ReadOptions): Promise<AuditReport> {
  const cluster = await options.parts.openCluster(options.flags);
  try {
    const { subject, config } = await ofCluster(cluster, options);
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

const NOT_READ = { mode: 'unknown', source: 'manifests', detail: 'manifests do not tell' } as const;

const words = (value: readonly string[] | string, source: string) => ({ value: [value].flat().join(' '), source });

const sourceOf = (value: unknown): string => (value === 'auto' ? 'built-in' : 'configuration');

function manifestCluster(config: Config, facts: ClusterFacts): ClusterSection {
  const { dns, domain, nodeSearches } = config.cluster;
  const detail = 'not looked for: manifests do not tell';
  return {
    dns: words(facts.dns, sourceOf(dns)),
    domain: words(facts.domain, sourceOf(domain)),
    nodeSearches: words(facts.nodeSearches, sourceOf(nodeSearches)),
    dnsOverTcp: 'not asked',
    nodeLocal: { state: facts.nodeLocal, source: 'not looked for', detail },
    kubeProxy: NOT_READ,
  };
}

/** Manifests: each Pod and each template counts once. */
async function ofManifests(options: ReadOptions): Promise<Subject> {
  const { parts, flags } = options;
  const { config, from } = await settingsFor(options, undefined);
  const manifests = await readManifests(parts.io, flags.filename ?? []);
  const groups = createPodGroups();
  const namespaces = new Map<string, string | undefined>();
  const [fallback = 'default'] = flags.namespace ?? [];
  for (const { value } of manifests.flatMap(({ documents }) => documents)) {
    for (const [name, labels] of namespaceLabels(value)) namespaces.set(name, labels[MODE_LABEL]);
    for (const { kind, namespace, name, pod } of podTemplates(value)) {
      groups.add({ kind, namespace: namespace || fallback, name: name || '(unnamed)' }, pod, undefined);
    }
  }
  const { facts } = configuredFacts(config);
  const files = manifests.map(({ name }) => name);
  return {
    source: { kind: 'manifests', server: '', namespaces: [], files, configuration: from },
    scanned: {
      groups: groups.all(),
      namespaces,
      nodes: [],
      networkPolicies: [],
      kubeProxy: NOT_READ,
      dnsTcpPort: undefined,
      gaps: [],
    },
    config,
    facts,
    cluster: manifestCluster(config, facts),
    gaps: [],
    unlabelled: { [MODE_LABEL]: 'enforce' },
  };
}

async function auditManifests(options: ReadOptions): Promise<AuditReport> {
  const subject = await ofManifests(options);
  const detection = await options.parts.openDetector(subject.config, { images: [] });
  try {
    return await reportOn(subject, { ...detection, gaps: [] }, options);
  } finally {
    await detection.close();
  }
}

/** Reads what there is, and reports. Rejects with `CommandError`, or with the signal's reason. */
export async function readAudit(options: ReadOptions): Promise<AuditReport> {
  return options.flags.filename === undefined ? await auditCluster(options) : await auditManifests(options);
}

/** How a person names a cluster, as for kubectl. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** The webhook as it is installed in the cluster. */
interface InstalledWebhook {
  readonly namespace: string | undefined;
  readonly configuration: { readonly name: string; readonly text: string } | undefined;
  readonly gaps: readonly Gap[];
}

/** What the cluster's DNS is, each value with its source. */
export interface AuditFacts {
  readonly facts: ClusterFacts;
  readonly section: Omit<ClusterSection, 'kubeProxy' | 'dnsOverTcp'>;
  /** `not asked`: we are not in the cluster, or the configuration does not want it asked. */
  readonly dnsOverTcp: ClusterSection['dnsOverTcp'];
  readonly gaps: readonly Gap[];
}

export interface AuditDetector extends OpenDetector {
  /** The logins of Pods, where the configuration has Secrets read. */
  readonly credentials?: PodCredentials;
  readonly gaps: readonly Gap[];
}

export interface ScanRequest {
  /** Empty: all. */
  readonly namespaces: readonly string[];
  /** `namespace/name`. */
  readonly dnsService: string;
  readonly signal: AbortSignal;
  readonly onProgress: (what: string) => void;
}

/** A cluster that is read and not changed. All methods reject with `CommandError`, or with the signal's reason. */
export interface AuditCluster {
  /** The API server's address. */
  readonly server: string;
  installation(signal: AbortSignal): Promise<InstalledWebhook>;
  facts(config: Config): Promise<AuditFacts>;
  scan(request: ScanRequest): Promise<Scanned>;
  /** Remembers nothing in the cluster; what the webhook's replicas have found is used. */
  openDetector(config: Config): Promise<AuditDetector>;
  close(): Promise<void>;
}

/** What `libc-dns audit` is handed. */
export interface AuditingCommand extends DetectingCommand {
  readonly version: string;
  /** Joins the cluster that a person means. Rejects with `CommandError` where there is none. */
  readonly openCluster: (flags: ClusterFlags) => Promise<AuditCluster>;
  /** Replaces the file whole, or leaves it as it was. Rejects as node:fs does. */
  readonly writeFile: (path: string, text: string) => Promise<void>;
  /** Aborts when the person has had enough (SIGINT, SIGTERM). From this call on the process does not end by itself. */
  readonly untilInterrupted: () => AbortSignal;
  readonly now: () => Date;
}

/** One line on standard error that says how far things are. */
interface AuditProgress {
  readonly step: (what: string) => void;
  readonly images: (done: number, all: number, image: string) => void;
  /** Takes the line away. */
  readonly done: () => void;
}

const BAR = 24;

/** How often the line is written anew, milliseconds: terminals are slow. */
const EVERY_MS = 100;

const bar = (done: number, all: number): string => {
  const full = all === 0 ? BAR : Math.floor((done / all) * BAR);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`;
};

const quiet = (): void => {};

/** Nothing is written where standard error is no terminal: nobody watches. */
export function auditProgress(io: Io, clock: Pick<Clock, 'monotonic'>): AuditProgress {
  if (!io.stderrIsTerminal) return { step: quiet, images: quiet, done: quiet };
  let written = -EVERY_MS;
  const line = (text: string, always: boolean): void => {
    const now = clock.monotonic();
    if (!always && now - written < EVERY_MS) return;
    written = now;
    io.err(`\r\u001B[K${text.slice(0, Math.max(20, io.columns - 1))}`);
  };
  return {
    step: (what) => line(`reading ${what} ...`, false),
    images: (done, all, image) => {
      line(`${bar(done, all)} ${done}/${all} images  ${printable(image)}`, done === all);
    },
    done: () => io.err('\r\u001B[K'),
  };
}
