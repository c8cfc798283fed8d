import { type Command, Option } from 'commander';

import { createEvaluate, type Evaluation } from '../admission/evaluate.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Detector } from '../detection/detector.ts';
import { parsePlatform } from '../detection/platform.ts';
import { passedOverLines } from '../manifests/passed-over.ts';
import {
  describeObject,
  namespaceLabels,
  type PodTemplate,
  podTemplates,
  unnamedImages,
} from '../manifests/pod-templates.ts';
import { type Manifest, type ManifestDocument, placeText, readManifests } from '../manifests/read.ts';
import { type ManifestPolicies, manifestReach, policiesIn } from '../manifests/reach.ts';
import { LEFT_ALONE } from '../policy/decide.ts';
import type { ContainerVerdict, Mode, NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import {
  addClusterFlags,
  addFlags,
  addObjectFlags,
  type ClusterFlags,
  type ColorFlag,
  type CommonFlags,
  DNS_FLAGS,
  isChosen,
  type ObjectFlags,
} from '../terminal/flags.ts';
import { CommandError, type Io } from '../terminal/io.ts';
import { openProgress, shownLookUps } from '../terminal/progress.ts';
import { systemClock } from '../util/clock.ts';
import { counted, printable } from '../util/text.ts';
import { type ManifestCommand, type Terms, termsOf } from './terms.ts';

export interface ManifestFlags extends CommonFlags, ClusterFlags, ObjectFlags, ColorFlag {
  readonly kinds?: string[];
  readonly failOn?: 'unknown';
}

/** Adds the flags for commands that read manifests. */
export function addManifestFlags(command: Command): Command {
  const files = 'manifest file or folder, or - for standard input';
  const namespace = 'only objects of this namespace; those without a namespace are in the first';
  const kinds = 'only objects of these kinds: Deployment,CronJob (repeatable)';
  const failOn = new Option('--fail-on <what>', 'exit with 3 if the resolver of an image is').choices(['unknown']);
  addObjectFlags(command, { files, namespace }).option('--kinds <kinds>', kinds, collectKinds).addOption(failOn);
  addClusterFlags(command, 'use the cluster of this kubeconfig; in a Pod: its own cluster');
  return addFlags(command, ['config', 'namespaceMode', ...DNS_FLAGS, 'offline', 'platform', 'color']);
}

/** The decision for a Pod or Pod template of a manifest. */
export interface Explained {
  readonly document: ManifestDocument;
  readonly template: PodTemplate;
  readonly namespace: string;
  readonly evaluation: Evaluation;
}

/** Manifests, and the decisions for the Pods in them. */
export interface Explanation {
  readonly manifests: readonly Manifest[];
  readonly explained: readonly Explained[];
  /** Documents and Pods that could not be read: each is named on stderr. */
  readonly failed: number;
  /** Images whose resolver is not known. */
  readonly unknown: number;
}

/** Throws the `CommandError` for what could not be read, and for what `--fail-on` names. */
export function refuseFailures({ failed, unknown }: Explanation, { failOn }: ManifestFlags): void {
  if (failed > 0) throw new CommandError('failed', `${counted(failed, 'problem')}: see above`);
  if (failOn === 'unknown' && unknown > 0) {
    throw new CommandError('found', `the resolver of ${counted(unknown, 'image')} is unknown (--fail-on unknown)`);
  }
}

/** Reads the manifests that `-f` names and decides about them. Prints problems, warnings and assumptions on stderr. */
export async function explainFiles(parts: ManifestCommand, flags: ManifestFlags): Promise<Explanation> {
  const { io } = parts;
  const progress = openProgress(io, systemClock);
  const terms = await termsOf(parts, flags, progress.step).finally(progress.done);
  const manifests = await readManifests(io, flags.filename ?? []);
  const { detector, close } = await parts.openDetector(terms.config, { images: [] });
  try {
    const policies = policiesIn(documentsOf(manifests), terms.namespace, terms.cluster?.networkPolicies);
    const shown = detector && shownLookUps(detector, progress);
    const explaining = { flags, terms, policies, detector: shown };
    const { explained, problems, elsewhere } = await explainManifests(manifests, explaining).finally(progress.done);
    for (const problem of problems) io.err(`libc-dns: ${printable(problem)}\n`);
    for (const line of passedOverLines(manifests, (object) => isWanted(object, flags))) {
      io.err(`libc-dns: passed over: ${printable(line)}\n`);
    }
    if (elsewhere > 0)
      io.err(`libc-dns: passed over: ${counted(elsewhere, 'Pod')} of other namespaces (--namespace)\n`);
    warnAbout(io, explained);
    noteAssumptions(io, flags, terms, explained);
    if (terms.cluster === undefined) noteNamespace(io, explained, { flags, terms, policies });
    return { manifests, explained, failed: problems.length, unknown: noteImages(io, explained, detector) };
  } finally {
    await close();
  }
}

const documentsOf = (manifests: readonly Manifest[]): ManifestDocument[] =>
  manifests.flatMap((manifest) => manifest.documents);

interface Explaining {
  readonly flags: ManifestFlags;
  readonly terms: Terms;
  /** Of the manifests and the cluster. */
  readonly policies: ManifestPolicies;
  readonly detector: Detector | undefined;
}

/** A user waits longer than an API server. */
const LOOKUP_MS = 20_000;

/**
 * Decides about every Pod and Pod template in the manifests, by the webhook's own rules. Takes the labels of namespaces
 * from Namespace objects in the same input, else from the cluster; assumes mode `enforce`, or that of
 * scope `cluster` in a cluster, if they do not say. Returns beside the decisions
 * what could not be read (each problem with its file and document), and how many Pods `--namespace` leaves out.
 */
async function explainManifests(
  manifests: readonly Manifest[],
  { flags, terms, policies, detector }: Explaining,
): Promise<{ explained: Explained[]; problems: string[]; elsewhere: number }> {
  const { config, facts, cluster } = terms;
  const platform = parsePlatform(config.detection.platform);
  const verdicts = { platform, ...(detector !== undefined && { detector }) };
  const reach = manifestReach(policies, config, facts, cluster);
  const common = { config: policyConfig(config), cluster: () => facts, verdicts };
  const evaluatePod = createEvaluate({ ...common, ...(reach && { reach: reach.pods }) });
  const evaluateTemplate = createEvaluate({ ...common, ...(reach && { reach: reach.templates }) });
  const unlabelled = cluster !== undefined && config.scope === 'cluster' ? config.mode : 'enforce';
  const { labels, pending, elsewhere } = selected(manifests, flags, terms);
  const problems = manifests.flatMap((manifest) => manifest.problems);
  const explained = await Promise.all(
    pending.map(async ({ manifest, document, template }) => {
      const namespace = template.namespace || terms.namespace;
      const view = namespaceView(namespace, labels.get(namespace) ?? {}, flags.namespaceMode, unlabelled);
      const evaluate = template.podPath.length === 0 ? evaluatePod : evaluateTemplate;
      const evaluation = await evaluate(template.pod, view, { budgetMs: LOOKUP_MS });
      if (evaluation.decision.reason === 'MalformedPod') {
        const where = `${placeText(manifest, document)} (${describeObject(template)})`;
        problems.push(`${where}: ${evaluation.decision.message}`);
        return [];
      }
      return [{ document, template, namespace, evaluation }];
    }),
  );
  return { explained: explained.flat(), problems, elsewhere };
}

interface Selected {
  /** Of namespaces. */
  readonly labels: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly pending: readonly { manifest: Manifest; document: ManifestDocument; template: PodTemplate }[];
  /** Pods that `--namespace` leaves out. */
  readonly elsewhere: number;
}

/** Finds the Pods and Pod templates that the flags choose. */
function selected(manifests: readonly Manifest[], flags: ManifestFlags, { cluster, namespace }: Terms): Selected {
  const labels = new Map(cluster?.namespaces);
  const pending: Selected['pending'][number][] = [];
  let elsewhere = 0;
  for (const manifest of manifests) {
    for (const document of manifest.documents) {
      for (const [name, found] of namespaceLabels(document.value)) labels.set(name, found);
      for (const template of podTemplates(document.value)) {
        if (!isWanted(template, flags)) continue;
        if (isChosen(template.namespace || namespace, flags)) pending.push({ manifest, document, template });
        else elsewhere += 1;
      }
    }
  }
  return { labels, pending, elsewhere };
}

const isWanted = ({ kind }: { readonly kind: string }, { kinds }: ManifestFlags): boolean =>
  kinds === undefined || kinds.includes(kind.toLowerCase());

/** What an annotation declares is not looked up, and neither are the images of Pods that are left alone. */
const isLookedUp = ({ image, evidence }: ContainerVerdict): boolean =>
  image !== '' && evidence.source !== 'annotation' && evidence !== LEFT_ALONE.evidence;

/**
 * Warns about each image whose resolver is not known in one of its containers, and counts the images, if they were looked up. Returns how
 * many are not known.
 */
function noteImages(io: Io, explained: readonly Explained[], detector: Detector | undefined): number {
  const containers = explained.flatMap(({ evaluation }) => evaluation.decision.containers);
  const images = Map.groupBy(containers.filter(isLookedUp), ({ image }) => image);
  const unknown = [...images].flatMap(([image, used]) => {
    const why = used.find(({ resolver }) => resolver === 'unknown')?.evidence.detail;
    return why === undefined ? [] : [`${image}: ${why}`];
  });
  if (detector === undefined || images.size === 0) return unknown.length;
  for (const line of unknown) io.err(`libc-dns: warning: ${printable(line)}\n`);
  const known = images.size - unknown.length;
  io.err(`libc-dns: ${counted(images.size, 'image')} looked up: ${known} known, ${unknown.length} unknown\n`);
  return unknown.length;
}

function namespaceView(
  name: string,
  labels: Readonly<Record<string, string>>,
  mode: Mode | undefined,
  unlabelled: Mode,
): NamespaceView {
  return { name, labels: { ...labels, [MODE_LABEL]: mode ?? labels[MODE_LABEL] ?? unlabelled } };
}

/**
 * Prints warnings about invalid labels and annotations of ours, about DNS settings that break a resolver, and about containers that name no
 * image.
 */
function warnAbout(io: Io, explained: readonly Explained[]): void {
  for (const { template, namespace, evaluation } of explained) {
    const { warnings, containers } = evaluation.decision;
    for (const warning of [...warnings, ...unnamedImages(containers)]) {
      io.err(`libc-dns: warning: ${printable(`${template.kind} ${namespace}/${template.name}: ${warning}`)}\n`);
    }
  }
}

/** Prints what is assumed of the cluster, if anything is decided. */
function noteAssumptions(
  io: Io,
  flags: ManifestFlags,
  { config, cluster, assumed, namespace }: Terms,
  explained: readonly Explained[],
): void {
  if (cluster === undefined && config.exposure === 'auto') {
    io.err('libc-dns: exposure auto has no effect on manifests: no nodes are read, so it works like always.\n');
  }
  if (explained.every(({ evaluation }) => evaluation.decision.mode === 'off')) return;
  const isGuessed = ({ template, evaluation }: Explained): boolean =>
    template.namespace === '' && evaluation.decision.change?.dnsPolicy === 'None';
  const guessed = cluster === undefined && flags.namespace?.[0] === undefined && explained.some(isGuessed);
  const all = [...assumed, ...(guessed ? [`namespace ${namespace} where a manifest names none (--namespace)`] : [])];
  const source = cluster === undefined ? 'no cluster is read (--context). ' : '';
  if (all.length > 0) io.err(`libc-dns: ${source}Assumed: ${printable(all.join(', '))}.\n`);
}

/**
 * Prints that a Pod without a namespace is taken to be in `default`, if policies stand in another one: policies of its real namespace may be
 * among them.
 */
function noteNamespace(
  io: Io,
  explained: readonly Explained[],
  { flags, terms, policies }: Pick<Explaining, 'flags' | 'terms' | 'policies'>,
): void {
  if (!terms.config.networkPolicies || flags.namespace?.[0] !== undefined) return;
  const others = policies.namespaces.filter((name) => name !== '' && name !== terms.namespace).toSorted();
  if (others.length === 0 || explained.every(({ template }) => template.namespace !== '')) return;
  const where = printable(others.join(', '));
  io.err(
    `libc-dns: network policies of ${where} are not held against Pods without a namespace. Assumed: namespace default (--namespace).\n`,
  );
}

const collectKinds = (value: string, all: string[] | undefined): string[] => [
  ...(all ?? []),
  ...value.split(',').map((kind) => kind.trim().toLowerCase()),
];
