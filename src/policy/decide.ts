import { readDeclared, redirectedByUs, redirectedForMuslAlone, type Declared } from './annotations.ts';
import { exemption } from './exemptions.ts';
import type {
  ClusterFacts,
  ContainerVerdict,
  ContainerView,
  Decision,
  DnsChange,
  DnsOption,
  NamespaceView,
  PodView,
  PolicyConfig,
  Remedy,
  ResolvConf,
} from './model.ts';
import { costsGo, kubeletNdots, missingOptions, muslOptions, retryOptions, wantedOptions } from './options.ts';
import { REASONS, type NoRedirect, type Reason } from './reasons.ts';
import {
  clusterDnsFirst,
  nodeLocalReason,
  nodeLocalUsable,
  planRedirect,
  type Redirect,
  withExtraNameservers,
} from './redirect.ts';
import { effectiveMode, type Scope } from './scope.ts';
import { unknownVerdict, type Resolver, type Verdict } from './verdict.ts';
import { muslWarnings } from './warnings.ts';

export interface DecideInput {
  readonly pod: PodView;
  readonly namespace: NamespaceView;
  /** One for each of `pod.containers`; not needed if `precheck` returns a decision. */
  readonly verdicts: readonly Verdict[];
  readonly cluster: ClusterFacts;
  readonly config: PolicyConfig;
  /** Returns what the kubelet writes for the unpatched Pod; called only for Pods with musl. */
  readonly kubelet: () => ResolvConf;
}

type Known = Omit<DecideInput, 'verdicts' | 'kubelet'>;

/**
 * Decides what to change in a Pod, by the tables of docs/architecture.md. Pure and idempotent: the same input gives the
 * same decision, and a decision on the patched Pod changes nothing.
 */
export function decide(input: DecideInput): Decision {
  const { pod } = input;
  const standing = standingOf(input);
  const early = leftAlone(pod, standing);
  if (early !== undefined) return early;
  const notGiven = unknownVerdict('no verdict was given');
  const containers = pod.containers.map((one, index) => judged(one, input.verdicts[index] ?? notGiven));
  const planned = plan(input, containers);
  return {
    mode: standing.scope.mode,
    ...planned,
    message: message(planned.reason, containers) + costOfOptions(planned, containers, input.config),
    containers,
    warnings: [...standing.scope.warnings, ...standing.declared.warnings, ...muslWarnings(containers, input.kubelet)],
  };
}

/** Returns the decision for a Pod that is left alone whatever its images hold; undefined if they must be looked up. */
export function precheck(known: Known): Decision | undefined {
  return leftAlone(known.pod, standingOf(known));
}

/** What a Pod's labels and annotations say, read once. */
interface Standing {
  readonly scope: Scope;
  readonly declared: Declared;
  /** Why the Pod is left alone; undefined if it is not. */
  readonly reason: Reason | undefined;
}

function standingOf({ pod, namespace, cluster, config }: Known): Standing {
  const scope = effectiveMode(pod, namespace, config, cluster.ownNamespace);
  const notExposed = config.exposure === 'auto' && cluster.exposed === false ? 'NotExposed' : undefined;
  return { scope, declared: readDeclared(pod), reason: scope.reason ?? exemption(pod) ?? notExposed };
}

function leftAlone(pod: PodView, { scope, declared, reason }: Standing): Decision | undefined {
  if (reason === undefined) return undefined;
  const notLookedUp = unknownVerdict('not looked up: the Pod is left alone');
  const containers = pod.containers.map((one) => judged(one, declared.verdictFor(one.name) ?? notLookedUp));
  const warnings = scope.mode === 'off' ? scope.warnings : [...scope.warnings, ...declared.warnings];
  return { mode: scope.mode, reason, message: REASONS[reason], remedy: [], containers, warnings };
}

const judged = ({ name, image }: ContainerView, verdict: Verdict): ContainerVerdict => ({ name, image, ...verdict });

interface Plan {
  readonly reason: Reason;
  readonly remedy: readonly Remedy[];
  readonly change?: DnsChange;
}

/** Combines the remedies of all containers, because one resolv.conf serves them all. */
function plan(input: DecideInput, containers: readonly ContainerVerdict[]): Plan {
  const { pod, cluster, config } = input;
  const resolvers = new Set(containers.map((container) => container.resolver));
  const options = wantedOptions(resolvers, cluster, config);
  const musl = resolvers.has('musl') ? planMusl(input, resolvers.size > 1) : undefined;
  if (musl === undefined && options.length === 0) {
    return { reason: isUnaffected(resolvers) ? 'ResolverUnaffected' : 'NothingConfigured', remedy: [] };
  }

  const missing = missingOptions(withMuslOptions(input, musl, options), pod.dnsConfig.options);
  const change = changeFor(pod, musl, missing);
  if (change === undefined) return { reason: 'AlreadyConfigured', remedy: [] };

  const remedy: Remedy[] = options.length > 0 ? ['options'] : [];
  if (musl !== undefined) remedy.push(musl.kind === 'retry' ? 'retry' : 'redirect');
  return { reason: reasonFor(resolvers, musl), remedy, change };
}

const isUnaffected = (resolvers: ReadonlySet<Resolver>): boolean => resolvers.size === 1 && resolvers.has('go');

/** Adds to the options of the other resolvers what the musl part of the Pod needs. */
function withMuslOptions(
  { pod, cluster, config, kubelet }: DecideInput,
  musl: MuslPlan | undefined,
  options: readonly DnsOption[],
): readonly DnsOption[] {
  if (musl === undefined) return options;
  if (musl.kind === 'redirect') return [...kubeletNdots(kubelet()), ...muslOptions(config), ...options];
  const others = musl.nameservers ?? pod.dnsConfig.nameservers;
  const beside = musl.kind === 'retry' ? retryOptions(others, cluster, config) : [];
  return [...muslOptions(config), ...options, ...beside];
}

type Servers = Exclude<Redirect, { not: NoRedirect }>;

/** `redirected`: an earlier call redirected the Pod, and another webhook changed it since. */
type MuslPlan =
  | { kind: 'redirect'; servers: Servers; nameservers?: never }
  | { kind: 'redirected'; nameservers: readonly string[] | undefined }
  | { kind: 'retry'; why?: NoRedirect; nameservers?: readonly string[] | undefined };

/** Chooses the remedy for the musl containers of a Pod; undefined if the configuration allows none. */
function planMusl(input: DecideInput, mixed: boolean): MuslPlan | undefined {
  const { pod, cluster, config } = input;
  const planned = planRemedy(input, mixed);
  if (planned?.kind !== 'retry') return planned;
  return { ...planned, nameservers: withExtraNameservers(pod, cluster, config) };
}

function planRemedy(input: DecideInput, mixed: boolean): MuslPlan | undefined {
  const { pod, cluster, config } = input;
  if (config.musl.remedy === 'none') return undefined;
  if (pod.dnsPolicy === 'None' && redirectedByUs(pod)) {
    const reorders = mixed && redirectedForMuslAlone(pod);
    return { kind: 'redirected', nameservers: reorders ? clusterDnsFirst(pod, cluster, config) : undefined };
  }
  if (config.musl.remedy === 'retry' || (mixed && config.mixedPods === 'retry')) return { kind: 'retry' };
  const why = nodeLocalReason(cluster, config);
  if (why !== undefined) return { kind: 'retry', why };
  if (!nodeLocalUsable(cluster, config)) return { kind: 'retry' };
  const servers = planRedirect(pod, input.kubelet(), cluster, config, mixed);
  return 'not' in servers ? { kind: 'retry', why: servers.not } : { kind: 'redirect', servers };
}

function redirectChange(pod: PodView, servers: Servers, options: readonly DnsOption[]): DnsChange {
  return {
    dnsPolicy: 'None',
    ...(!same(servers.nameservers, pod.dnsConfig.nameservers) && { nameservers: servers.nameservers }),
    ...(!same(servers.searches, pod.dnsConfig.searches) && { searches: servers.searches }),
    options,
  };
}

/** Returns the change for this plan; undefined if the Pod needs none. `options` are the missing ones. */
function changeFor(pod: PodView, musl: MuslPlan | undefined, options: readonly DnsOption[]): DnsChange | undefined {
  if (musl?.kind === 'redirect') return redirectChange(pod, musl.servers, options);
  const nameservers = musl?.nameservers;
  if (nameservers !== undefined) return { nameservers, options };
  return options.length === 0 ? undefined : { options };
}

function reasonFor(resolvers: ReadonlySet<Resolver>, musl: MuslPlan | undefined): Reason {
  if (musl === undefined) return resolvers.has('unknown') ? 'UnknownOptions' : 'OptionsAdded';
  const mixed = resolvers.size > 1;
  if (musl.kind !== 'retry') return mixed ? 'MixedRedirected' : 'MuslRedirected';
  return musl.why ?? (mixed ? 'MixedRetried' : 'MuslRetried');
}

function message(reason: Reason, containers: readonly ContainerVerdict[]): string {
  const unknown = containers.find((container) => container.resolver === 'unknown');
  if (reason === 'UnknownOptions' && unknown !== undefined) {
    return `${REASONS[reason]} ${unknown.name}: ${unknown.evidence.detail}.`;
  }
  return reason === 'MuslRetried' || reason === 'MixedRetried'
    ? `${REASONS[reason]} Where one runs, nodeLocal.mode or --node-local turns the redirect on.`
    : REASONS[reason];
}

/** Says what the options of the others cost Go, in a sentence to append; empty if they cost nothing. */
function costOfOptions({ change }: Plan, containers: readonly ContainerVerdict[], config: PolicyConfig): string {
  const go = containers.filter(({ resolver }) => resolver === 'go').map(({ name }) => name);
  if (go.length === 0 || go.length === containers.length || !costsGo(change?.options ?? [], config)) return '';
  return ` Go (${go.join(', ')}) does not need the options: they cost it a round trip with each look-up.`;
}

const same = (a: readonly string[], b: readonly string[]): boolean => a.join(' ') === b.join(' ');
