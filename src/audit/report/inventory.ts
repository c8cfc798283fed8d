import type { NamespaceView, PolicyConfig } from '../../policy/model.ts';
import { readPod } from '../../policy/read-pod.ts';
import type { Reason } from '../../policy/reasons.ts';
import { effectiveMode } from '../../policy/scope.ts';
import { candidatesOf, type Resolver, resolverName } from '../../policy/verdict.ts';
import { compareText, compareTexts } from '../../util/text.ts';
import type { AuditedContainer, DecidedGroup } from '../decided.ts';
import type {
  ExposureCounts,
  ExposureLevel,
  Finding,
  ImageEntry,
  NamespaceEntry,
  Severity,
  UnreadableImage,
  WorkloadEntry,
} from './report.ts';
import { grantFor } from './unreadable.ts';

type Counts<T extends string> = Record<T, number>;

const noResolvers = (): Counts<Resolver> => ({ glibc: 0, musl: 0, go: 0, other: 0, unknown: 0 });
const noExposure = (): Counts<ExposureLevel> => ({ yes: 0, possible: 0, mitigated: 0, no: 0 });
const noFindings = (): Counts<Severity> => ({ error: 0, warning: 0, info: 0 });

/** Sums over Pods, of a namespace or of all. */
interface Totals {
  readonly workloads: number;
  readonly pods: number;
  readonly containers: number;
  readonly podsThatWouldChange: number;
  readonly resolvers: Readonly<Record<Resolver, number>>;
  readonly exposure: ExposureCounts;
}

export function totalsOf(decided: readonly DecidedGroup[]): Totals {
  const resolvers = noResolvers();
  const exposure = noExposure();
  const sums = { workloads: decided.length, pods: 0, containers: 0, podsThatWouldChange: 0 };
  for (const { group, containers, decision, exposure: exposed } of decided) {
    sums.pods += group.pods;
    sums.containers += group.pods * containers.length;
    if (decision.change !== undefined) sums.podsThatWouldChange += group.pods;
    exposure[exposed.level] += group.pods;
    for (const { resolver } of containers) resolvers[resolver] += group.pods;
  }
  return { ...sums, resolvers, exposure };
}

export function severities(findings: readonly Finding[]): Counts<Severity> {
  const counts = noFindings();
  for (const { severity } of findings) counts[severity] += 1;
  return counts;
}

interface NamespaceOptions {
  readonly config: PolicyConfig;
  readonly ownNamespace: string | undefined;
  readonly viewOf: (name: string) => NamespaceView;
}

/** Stands for any Pod without labels: its mode is that of its namespace. */
const PLAIN_POD = readPod({ spec: { containers: [{ name: 'main' }] } });

/** Returns an entry for each namespace that has Pods, sorted by name. */
export function namespaceEntries(
  decided: readonly DecidedGroup[],
  findings: readonly Finding[],
  { config, ownNamespace, viewOf }: NamespaceOptions,
): NamespaceEntry[] {
  const findingsOf = Map.groupBy(findings, ({ where }) => where.namespace);
  const entries: NamespaceEntry[] = [];
  for (const [name, groups] of Map.groupBy(decided, ({ group }) => group.owner.namespace)) {
    const { mode, reason } = effectiveMode(PLAIN_POD, viewOf(name), config, ownNamespace);
    const { containers: _containers, ...totals } = totalsOf(groups);
    const counts = severities(findingsOf.get(name) ?? []);
    entries.push({ name, mode, reason: reason ?? null, ...totals, findings: counts });
  }
  return entries.toSorted((a, b) => compareText(a.name, b.name));
}

const LEVELS: readonly ExposureLevel[] = ['yes', 'possible', 'mitigated', 'no'];

/** Orders workloads for people: the most exposed first, then the ones with most Pods, then as they stand in the report. */
export const mostExposedFirst = (workloads: readonly WorkloadEntry[]): WorkloadEntry[] =>
  workloads.toSorted((a, b) => LEVELS.indexOf(a.exposure.level) - LEVELS.indexOf(b.exposure.level) || b.pods - a.pods);

interface Use {
  readonly decided: DecidedGroup;
  readonly container: AuditedContainer;
}

const usesOf = (decided: readonly DecidedGroup[]): Use[] =>
  decided.flatMap((one) => one.containers.map((container) => ({ decided: one, container })));

const verdictTexts = (one: AuditedContainer): string[] => [
  one.image,
  one.platform,
  one.executable ?? '',
  one.digest ?? '',
  resolverName(one),
  one.resolver,
  one.libc,
  one.evidence.source,
  one.evidence.detail,
];

const podsOf = (uses: readonly Use[]): number =>
  [...new Set(uses.map(({ decided }) => decided))].reduce((sum, { group }) => sum + group.pods, 0);

const namespacesOf = (uses: readonly Use[]): string[] =>
  [...new Set(uses.map(({ decided }) => decided.group.owner.namespace))].toSorted(compareText);

/** Returns an entry for each image and verdict, sorted by image, platform and program. */
export function imageEntries(decided: readonly DecidedGroup[]): ImageEntry[] {
  const byVerdict = Map.groupBy(usesOf(decided), ({ container }) => JSON.stringify(verdictTexts(container)));
  const sorted = [...byVerdict.values()].toSorted((a, b) => compareTexts(textsOfFirst(a), textsOfFirst(b)));
  return sorted.flatMap((uses) => {
    const [first] = uses;
    if (first === undefined) return [];
    const { image, platform, digest, executable = null, resolver, libc, evidence, failure } = first.container;
    const containers = uses.reduce((sum, { decided: { group } }) => sum + group.pods, 0);
    const workloads = new Set(uses.map((use) => use.decided)).size;
    const counts = { containers, pods: podsOf(uses), workloads, namespaces: namespacesOf(uses) };
    const resolvers = candidatesOf(first.container);
    return [{ image, platform, digest, executable, resolver, libc, evidence, resolvers, ...counts, error: failure }];
  });
}

const textsOfFirst = ([first]: readonly Use[]): string[] => (first === undefined ? [] : verdictTexts(first.container));

/** Why the webhook never looks at a namespace: what is unknown of its images matters to nobody. */
const LEFT_ALONE: readonly (Reason | undefined)[] = ['SystemNamespace', 'OwnNamespace', 'NamespaceExcluded'];

/** Returns the images that were tried and could not be read, each with what to grant, of namespaces that the webhook may look at. */
export function unreadableImages(decided: readonly DecidedGroup[]): UnreadableImage[] {
  const wanted = decided.filter(({ modeReason }) => !LEFT_ALONE.includes(modeReason));
  const failed = usesOf(wanted).filter(({ container: { failure } }) => failure !== null && failure.code !== 'disabled');
  const byImage = Map.groupBy(failed, ({ container: { image, platform } }) => JSON.stringify([image, platform]));
  const sorted = [...byImage.values()].toSorted((a, b) => compareTexts(textsOfFirst(a), textsOfFirst(b)));
  return sorted.flatMap((uses) => {
    const container = uses[0]?.container;
    if (container === undefined || container.failure === null) return [];
    const { image, platform, failure } = container;
    const grant = grantFor(failure.code, image);
    return [{ image, platform, ...failure, grant, pods: podsOf(uses), namespaces: namespacesOf(uses) }];
  });
}
