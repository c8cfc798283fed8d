import { backendsWithoutCluster } from '../cluster/reach/reach.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { parsePlatform } from '../detection/platform.ts';
import { UNREAD } from '../exposure/exposure.ts';
import { passedOverLines } from '../manifests/passed-over.ts';
import {
  describeObject,
  malformation,
  namespaceLabels,
  podTemplates,
  unnamedImages,
} from '../manifests/pod-templates.ts';
import { policiesIn } from '../manifests/reach.ts';
import { type Manifest, type Place, placeOf, placeText, readManifests } from '../manifests/read.ts';
import type { ClusterFacts, NamespaceView } from '../policy/model.ts';
import { readPod } from '../policy/read-pod.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { type ClusterFlags, type CommonFlags, configuredFacts, isChosen, type ObjectFlags } from '../terminal/flags.ts';
import type { DetectingCommand, Io } from '../terminal/io.ts';
import type { Progress } from '../terminal/progress.ts';
import { counted, printable } from '../util/text.ts';
import {
  type AuditCluster,
  type AuditDetector,
  orInterrupted,
  readTerms,
  type ScanRequest,
  settingsFor,
} from './cluster.ts';
import { decideGroups } from './decide.ts';
import type { Accepted } from './findings/accepted.ts';
import { lookUpImages } from './look-ups.ts';
import { buildReport } from './report/build-report.ts';
import { type AuditReport, type AuditSource, type ClusterSection, type Gap, sourcedText } from './report/report.ts';
import { createPodGroups, type PodGroups } from './scan/pod-groups.ts';
import type { Scanned } from './scan/scanned.ts';
import type { LeftOut } from '../pod-resolvers/left-out.ts';

export interface AuditFlags extends CommonFlags, ClusterFlags, ObjectFlags {}

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

/** The inputs of a report, except the images. */
interface Subject {
  readonly source: AuditSource;
  readonly scanned: Scanned;
  readonly config: Config;
  readonly facts: ClusterFacts;
  readonly cluster: ClusterSection;
  readonly gaps: readonly Gap[];
  readonly installed: boolean | undefined;
  /** Where the policy of the API server is alone. */
  readonly podResolvers?: LeftOut | undefined;
  /** Labels assumed for namespaces without our label: manifests are read as if they enforced. */
  readonly unlabelled: Readonly<Record<string, string>>;
  /** Where the objects of manifests stand. */
  readonly places: Places;
}

/** By namespace, kind and name. */
type Places = ReadonlyMap<string, Place>;

interface ObjectName {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

const placeKey = ({ namespace, kind, name }: ObjectName): string => `${namespace}/${kind}/${name}`;

export interface Audited {
  readonly report: AuditReport;
  /** Returns where an object stands in the manifests; undefined for one of a cluster. */
  readonly placeOf: (object: ObjectName) => Place | undefined;
}

interface ReadOptions {
  readonly parts: AuditingCommand;
  readonly flags: AuditFlags;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Findings that do not count. */
  readonly accept?: Accepted;
}

/** Reads the cluster, or the named manifests, and builds the report. Rejects with `CommandError` or the signal's reason. */
export async function readAudit(options: ReadOptions): Promise<Audited> {
  return options.flags.filename === undefined ? await auditCluster(options) : await auditManifests(options);
}

async function auditCluster(options: ReadOptions): Promise<Audited> {
  const cluster = await options.parts.openCluster(options.flags);
  try {
    const subject = await clusterSubject(cluster, options);
    const detection = await orInterrupted(cluster.openDetector(subject.config), options.signal, (late) => late.close());
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
  { parts, flags, signal, progress }: ReadOptions,
): Promise<Subject> {
  const { namespace, ...common } = flags;
  const namespaces = [...new Set(namespace)].toSorted();
  const read = (request: ScanRequest) => cluster.scan(request);
  const { io } = parts;
  const terms = await readTerms(cluster, { io, flags: common, namespaces, read, signal, onProgress: progress.step });
  const { config, facts, section, surroundings, gaps, from, installed, podResolvers } = terms;
  return {
    source: { kind: 'cluster', server: cluster.server, namespaces, files: [], configuration: from },
    scanned: surroundings,
    config,
    facts,
    cluster: section,
    gaps,
    installed,
    podResolvers,
    unlabelled: {},
    places: new Map(),
  };
}

async function auditManifests(options: ReadOptions): Promise<Audited> {
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
  const { namespace: wanted, ...common } = flags;
  const { config, from } = await settingsFor(parts.io, common);
  const manifests = await readManifests(parts.io, flags.filename ?? []);
  const groups = createPodGroups();
  const places = new Map<string, Place>();
  const namespaces = new Map<string, Record<string, string>>();
  const [fallback = 'default'] = wanted ?? [];
  let leftOut = 0;
  const isWanted = (name: string): boolean => {
    const isIn = isChosen(name, flags);
    if (!isIn) leftOut += 1;
    return isIn;
  };
  const documents = manifests.flatMap((one) => one.documents);
  for (const { value } of documents) {
    for (const [name, labels] of namespaceLabels(value)) namespaces.set(name, labels);
  }
  const unread = manifests.flatMap((manifest): Gap[] =>
    [...manifest.problems, ...addPods(manifest, { groups, places }, { fallback, isWanted }, parts.io)].map(
      (problem) => ({
        what: manifest.name,
        message: problem.slice(manifest.name.length + 2),
        grant: 'nothing: correct the manifest',
      }),
    ),
  );
  for (const { what, message } of unread) parts.io.err(`libc-dns: ${printable(`${what}: ${message}`)}\n`);
  for (const line of passedOverLines(manifests)) parts.io.err(`libc-dns: passed over: ${printable(line)}\n`);
  if (leftOut > 0) {
    parts.io.err(`libc-dns: passed over: ${counted(leftOut, 'Pod')} of other namespaces (--namespace)\n`);
  }
  const { facts } = configuredFacts(config);
  const files = manifests.map(({ name }) => name);
  const chosen = flags.allNamespaces === true ? [] : [...new Set(wanted)].toSorted();
  return {
    source: { kind: 'manifests', server: '', namespaces: chosen, files, configuration: from },
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
    installed: undefined,
    unlabelled: { [MODE_LABEL]: 'enforce' },
    places,
  };
}

/** Which Pods of manifests count. */
interface Selection {
  /** The namespace of manifests that name none. */
  readonly fallback: string;
  /** Called once for each. */
  readonly isWanted: (namespace: string) => boolean;
}

/** Adds the Pods and Pod templates of a manifest. Returns for each that is malformed where it is, and why; warns of containers without an image. */
function addPods(
  manifest: Manifest,
  { groups, places }: { readonly groups: PodGroups; readonly places: Map<string, Place> },
  { fallback, isWanted }: Selection,
  io: Io,
): string[] {
  const problems: string[] = [];
  for (const document of manifest.documents) {
    for (const template of podTemplates(document.value)) {
      const where = `${placeText(manifest, document)} (${describeObject(template)})`;
      const { kind, name, pod } = template;
      const namespace = template.namespace || fallback;
      if (!isWanted(namespace)) continue;
      const problem = malformation(pod);
      if (problem !== undefined) {
        problems.push(`${where}: ${problem}`);
        continue;
      }
      for (const warning of unnamedImages(readPod(pod).containers)) {
        io.err(`libc-dns: warning: ${printable(`${where}: ${warning}`)}\n`);
      }
      const owner = { kind, namespace, name: name || '(unnamed)' };
      groups.add(owner, pod, undefined);
      places.set(placeKey(owner), placeOf(manifest, document));
    }
  }
  return problems;
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
async function reportOn(
  subject: Subject,
  { detector, credentials }: AuditDetector,
  options: ReadOptions,
): Promise<Audited> {
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
  const report = buildReport({
    ...subject,
    config: policy,
    respected: config.networkPolicies,
    decided,
    viewOf,
    version: parts.version,
    generatedAt: parts.now(),
    ...(options.accept && { accept: options.accept }),
  });
  return { report, placeOf: (object) => subject.places.get(placeKey(object)) };
}

function viewsOf({ scanned, unlabelled }: Subject, mode: string | undefined): (name: string) => NamespaceView {
  return (name) => {
    const own = { ...unlabelled, ...scanned.namespaces.get(name) };
    return { name, labels: mode === undefined ? own : { ...own, [MODE_LABEL]: mode } };
  };
}
