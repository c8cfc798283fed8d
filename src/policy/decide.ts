import { readDeclared, redirectedByUs, redirectedForMuslAlone, type Declared } from './annotations.ts';
import { exemption, mayRunOnVirtualNode } from './exemptions.ts';
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
  Reach,
  Remedy,
  ResolvConf,
} from './model.ts';
import {
  costsGo,
  kubeletNdots,
  missingOptions,
  muslOptions,
  outgrowsMusl,
  retryOptions,
  type TcpObstacle,
  tcpObstacle,
  unknownToGo,
  wantedOptions,
  withoutTcp,
} from './options.ts';
import { REASONS, type NoRedirect, type NoSidecar, type Reason } from './reasons.ts';
import {
  isKeptFromCache,
  MAX_NAMESERVERS,
  nodeLocalReason,
  nodeLocalUsable,
  planRedirect,
  type Redirect,
  reorderForMixed,
  withExtraNameservers,
} from './redirect.ts';
import { effectiveMode, type Scope } from './scope.ts';
import { LOOPBACK, planSidecar, type SidecarPlan, wantsSidecar } from './sidecar.ts';
import { mayResolveWith, resolversOf, throughLibc, unknownVerdict, type Resolver, type Verdict } from './verdict.ts';
import { muslWarnings, resendingOf, tcpWarnings } from './warnings.ts';

export interface DecideInput {
  readonly pod: PodView;
  readonly namespace: NamespaceView;
  /** One for each of `pod.containers`; not needed if `precheck` returns a decision. */
  readonly verdicts: readonly Verdict[];
  readonly cluster: ClusterFacts;
  readonly config: PolicyConfig;
  readonly reach: Reach;
  /** Returns what the kubelet writes for the unpatched Pod; called only for Pods with musl or with many options. */
  readonly kubelet: () => ResolvConf;
}

type Known = Omit<DecideInput, 'verdicts' | 'reach' | 'kubelet'>;

/**
 * Decides what to change in a Pod, by the tables of docs/architecture.md. Pure and idempotent: the same input gives the
 * same decision, and a decision on the patched Pod changes nothing.
 */
export function decide(input: DecideInput): Decision {
  const { pod } = input;
  const standing = standingOf(input);
  const early = leftAlone(pod, standing);
  if (early !== undefined) return early;
  const { containers, servers, plan: whole } = settle(input, standing.declared.sidecar);
  const { note = '', ...planned } = whole;
  const more = note + costOfOptions(planned, containers, input.config);
  const unknown = planned.reason === 'UnknownOptions' ? containers.find(isUnknown) : undefined;
  return {
    mode: standing.scope.mode,
    ...planned,
    message: message(planned.reason, containers, unknown && whyUnknown(unknown)) + more,
    ...(unknown !== undefined && { general: message(planned.reason, containers, UNTOLD) + more }),
    containers,
    warnings: [
      ...standing.scope.warnings,
      ...standing.declared.warnings,
      ...muslWarnings(containers, input.kubelet),
      ...tcpWarnings(containers, blockerOfTcp(input, servers)),
    ],
  };
}

interface Settled {
  readonly containers: readonly ContainerVerdict[];
  readonly servers: ServerPlan | undefined;
  readonly plan: Plan;
}

/** Plans for the resolvers that are at work with the options of the Pod, and with those that it gets. */
function settle(input: DecideInput, asksForCache: boolean): Settled {
  const { pod, verdicts } = input;
  const notGiven = unknownVerdict('no verdict was given');
  const found = pod.containers.map((one, index) => judged(one, verdicts[index] ?? notGiven));
  const planFor = (options: readonly DnsOption[]): Settled => {
    const option = unknownToGo(options);
    const because = `the option ${option}, which Go does not know`;
    const containers = option === undefined ? found : found.map((one) => throughLibc(one, because));
    const resolvers = new Set(containers.flatMap(resolversOf));
    const planned = planServers(input, resolvers, asksForCache);
    const fitting = withinMuslLine(plan(input, resolvers, planned), input, resolvers);
    return { containers, servers: planned.servers, plan: fitting };
  };
  const settled = planFor(pod.dnsConfig.options);
  const added = settled.plan.change?.options ?? [];
  return unknownToGo(added) === undefined ? settled : planFor([...pod.dnsConfig.options, ...added]);
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

/** The verdict for each container of a Pod that is left alone. */
export const LEFT_ALONE = unknownVerdict('not looked up: the Pod is left alone');

function leftAlone(pod: PodView, { scope, declared, reason }: Standing): Decision | undefined {
  if (reason === undefined) return undefined;
  const containers = pod.containers.map((one) => judged(one, declared.verdictFor(one.name) ?? LEFT_ALONE));
  const warnings = scope.mode === 'off' ? scope.warnings : [...scope.warnings, ...declared.warnings];
  return { mode: scope.mode, reason, message: REASONS[reason], remedy: [], containers, warnings };
}

const judged = ({ name, image }: ContainerView, verdict: Verdict): ContainerVerdict => ({ name, image, ...verdict });

interface Plan {
  readonly reason: Reason;
  readonly remedy: readonly Remedy[];
  readonly change?: DnsChange;
  /** What the message says about this Pod alone. */
  readonly note?: string;
}

/** Combines the remedies of all containers, because one resolv.conf serves them all. */
function plan(input: DecideInput, resolvers: ReadonlySet<Resolver>, { servers, refused }: Planned): Plan {
  const { pod, config } = input;
  const wanted = wantedOptions(resolvers, config);
  const missing = missingOptions(withServerOptions(input, resolvers, servers, wanted), pod.dnsConfig.options);
  const obstacle = obstacleTo(missing, input, servers);
  const options = obstacle === undefined ? wanted : withoutTcp(wanted);
  // What musl is given beside its own options is for others that may be there.
  const kept = options.length < wanted.length ? obstacle : undefined;
  const reason = reasonFor(resolvers, servers, { refused, kept });
  const note = retryNote(reason, servers, input, missing) + noteOn(reason, servers, kept) + refusal(reason, refused);
  if (servers === undefined && options.length === 0) return nothing(resolvers, reason, note, refused);

  const change = changeFor(pod, servers, obstacle === undefined ? missing : withoutTcp(missing));
  if (change === undefined) return { reason: 'AlreadyConfigured', remedy: [] };

  const remedy: Remedy[] = options.length > 0 ? ['options'] : [];
  const hasCache = pod.sidecar.ours || servers?.kind === 'sidecar';
  if (hasCache) return { reason: 'SidecarAdded', remedy: [...remedy, 'sidecar'], change };
  if (servers !== undefined) remedy.push(servers.kind === 'retry' ? 'retry' : 'redirect');
  return { reason, remedy, change, note };
}

/** Returns the plan, or the one to change nothing if musl may be in the Pod and would skip the options line. */
function withinMuslLine(planned: Plan, { pod, kubelet }: DecideInput, resolvers: ReadonlySet<Resolver>): Plan {
  const mayHoldMusl = resolvers.has('musl') || resolvers.has('unknown');
  const added = planned.change?.options ?? [];
  if (!mayHoldMusl || !outgrowsMusl(pod.dnsConfig.options, added, kubelet)) return planned;
  return { reason: 'OptionsTooLong', remedy: [] };
}

function nothing(resolvers: ReadonlySet<Resolver>, reason: Reason, note: string, refused?: NoSidecar): Plan {
  if (reason === 'TcpNotAllowed') return { reason, remedy: [], note };
  const unaffected = isUnaffected(resolvers) ? 'ResolverUnaffected' : 'NothingConfigured';
  return { reason: refused ?? unaffected, remedy: [] };
}

/** Returns what keeps `use-vc` from the Pod; undefined if nothing does, or if it is not among the options. */
function obstacleTo(
  options: readonly DnsOption[],
  { pod, cluster, config, reach }: DecideInput,
  planned: ServerPlan | undefined,
): TcpObstacle | undefined {
  if (withoutTcp(options).length === options.length) return undefined;
  return tcpObstacle(serversUnder(planned, pod, cluster), cluster, config, reach);
}

/**
 * Returns the policy that keeps a Pod with `use-vc` of its own from one of its nameservers over TCP; undefined if none does
 * or it cannot be named.
 */
function blockerOfTcp(input: DecideInput, planned: ServerPlan | undefined): string | undefined {
  const obstacle = obstacleTo(input.pod.dnsConfig.options, input, planned);
  return obstacle?.why === 'policies' ? obstacle.by : undefined;
}

/** Returns the nameservers that the resolvers ask under this plan, without the cache in the Pod: no policy stands before that. */
function serversUnder(planned: ServerPlan | undefined, pod: PodView, { dns }: ClusterFacts): readonly string[] {
  const outside = (servers: readonly string[]): readonly string[] =>
    pod.sidecar.ours || planned?.kind === 'sidecar' ? servers.filter((server) => server !== LOOPBACK) : servers;
  if (planned !== undefined && 'servers' in planned) return outside(planned.servers.nameservers);
  const written = planned?.nameservers ?? pod.dnsConfig.nameservers;
  return pod.dnsPolicy === 'None' ? outside(written) : [...new Set([...dns, ...written])].slice(0, MAX_NAMESERVERS);
}

/** `refused`: why the Pod does not get the cache that it should have. */
interface Planned {
  readonly servers: ServerPlan | undefined;
  readonly refused?: NoSidecar;
}

/** Chooses the remedy that concerns the nameservers: the cache in the Pod if it should have one, else what musl needs. */
function planServers(input: DecideInput, resolvers: ReadonlySet<Resolver>, asksForCache: boolean): Planned {
  const { pod, cluster, config } = input;
  const hasMusl = resolvers.has('musl');
  const isPatched = pod.dnsPolicy === 'None';
  const cache =
    !isPatched && wantsSidecar(input, asksForCache, hasMusl)
      ? planSidecar(pod, input.kubelet(), cluster, config)
      : undefined;
  if (cache !== undefined && !('not' in cache)) return { servers: { kind: 'sidecar', servers: cache } };
  const servers = hasMusl ? planMusl(input, resolvers.size > 1) : undefined;
  return { servers, ...(cache && { refused: cache.not }) };
}

const isUnaffected = (resolvers: ReadonlySet<Resolver>): boolean => resolvers.size === 1 && resolvers.has('go');

/** Adds to the options of the other resolvers what musl needs, and what new nameservers need. */
function withServerOptions(
  { pod, config, kubelet }: DecideInput,
  resolvers: ReadonlySet<Resolver>,
  servers: ServerPlan | undefined,
  options: readonly DnsOption[],
): readonly DnsOption[] {
  if (servers === undefined) return options;
  const forMusl = resolvers.has('musl') ? muslOptions(config) : [];
  if ('servers' in servers) return [...kubeletNdots(kubelet()), ...forMusl, ...options];
  const others = servers.nameservers ?? pod.dnsConfig.nameservers;
  const beside = servers.kind === 'retry' ? retryOptions(others, config) : [];
  return [...forMusl, ...options, ...beside];
}

type Servers = Exclude<Redirect, { not: NoRedirect }>;

/** `redirected`: an earlier call redirected the Pod, and another webhook changed it since. */
type ServerPlan =
  | { kind: 'sidecar'; servers: SidecarPlan; nameservers?: never }
  | { kind: 'redirect'; servers: Servers; nameservers?: never }
  | { kind: 'redirected'; nameservers: readonly string[] | undefined }
  | {
      kind: 'retry';
      why: NoRedirect | NotWanted;
      by?: string | undefined;
      nameservers?: readonly string[] | undefined;
    };

/** Why a redirect was not wanted or could not be relied on, with the sentence for the message. */
const NOT_WANTED = {
  MuslRemedy: 'musl.remedy is retry.',
  MixedPods: 'mixedPods is retry.',
  Off: 'nodeLocal.mode is off.',
  NotKnown: 'No node-local cache is known: where one runs, nodeLocal.mode or --node-local turns the redirect on.',
  NotOverTcp: 'The Pod has use-vc, and the node-local DNS cache is not known to answer over TCP: no redirect.',
} as const satisfies Record<string, string>;

type NotWanted = keyof typeof NOT_WANTED;

const isNotWanted = (why: NoRedirect | NotWanted): why is NotWanted => Object.hasOwn(NOT_WANTED, why);

/** Chooses the remedy for the musl containers of a Pod; undefined if the configuration allows none. */
function planMusl(input: DecideInput, mixed: boolean): ServerPlan | undefined {
  const { pod, cluster, config } = input;
  const planned = planRemedy(input, mixed);
  if (planned?.kind !== 'retry') return planned;
  return { ...planned, nameservers: withExtraNameservers(pod, cluster, config) };
}

function planRemedy(input: DecideInput, mixed: boolean): ServerPlan | undefined {
  const { pod, cluster, config } = input;
  if (config.musl.remedy === 'none') return undefined;
  if (pod.dnsPolicy === 'None' && redirectedByUs(pod)) {
    const reorders = mixed && redirectedForMuslAlone(pod);
    return { kind: 'redirected', nameservers: reorders ? reorderForMixed(pod, cluster, config) : undefined };
  }
  const why = whyNoCache(input, mixed);
  return why === undefined ? planToCache(input, mixed) : { kind: 'retry', why };
}

/** Returns why no Pod like this one is redirected; undefined if it may be. */
function whyNoCache({ cluster, config }: DecideInput, mixed: boolean): NoRedirect | NotWanted | undefined {
  if (config.musl.remedy === 'retry') return 'MuslRemedy';
  if (mixed && config.mixedPods === 'retry') return 'MixedPods';
  const reason = nodeLocalReason(cluster, config);
  if (reason !== undefined || nodeLocalUsable(cluster, config)) return reason;
  return config.nodeLocal.mode === 'off' ? 'Off' : 'NotKnown';
}

/** Redirects to the node-local cache if that can be written and the Pod's policies let it through. */
function planToCache(input: DecideInput, mixed: boolean): ServerPlan {
  const { pod, cluster, config } = input;
  if (mayRunOnVirtualNode(pod, input.namespace)) return { kind: 'retry', why: 'VirtualNode' };
  const servers = planRedirect(pod, input.kubelet(), cluster, config, mixed);
  if ('not' in servers) return { kind: 'retry', why: servers.not };
  const obstacle = mixed ? ownTcpObstacle(input, servers) : undefined;
  if (isKeptFromCache(input.reach, config)) {
    return { kind: 'retry', why: 'NodeLocalNotAllowed', by: input.reach.by?.nodeLocalUdp };
  }
  if (obstacle?.why === 'policies') return { kind: 'retry', why: 'NodeLocalNotAllowed', by: obstacle.by };
  return obstacle === undefined ? { kind: 'redirect', servers } : { kind: 'retry', why: 'NotOverTcp' };
}

/**
 * Returns what keeps the resolvers of a Pod whose user wrote `use-vc` from the first server of a redirect, if it is another
 * one than before; undefined if nothing does.
 */
function ownTcpObstacle(
  { pod, cluster, config, reach, kubelet }: DecideInput,
  { nameservers }: Servers,
): TcpObstacle | undefined {
  const [first] = nameservers;
  const { options } = pod.dnsConfig;
  if (first === undefined || first === kubelet().servers[0] || withoutTcp(options).length === options.length) {
    return undefined;
  }
  return tcpObstacle([first], cluster, config, reach);
}

function redirectChange(pod: PodView, servers: Servers | SidecarPlan, options: readonly DnsOption[]): DnsChange {
  return {
    dnsPolicy: 'None',
    ...(!same(servers.nameservers, pod.dnsConfig.nameservers) && { nameservers: servers.nameservers }),
    ...(!same(servers.searches, pod.dnsConfig.searches) && { searches: servers.searches }),
    options,
    ...('sidecar' in servers && { sidecar: servers.sidecar }),
  };
}

/** Returns the change for this plan; undefined if the Pod needs none. `options` are the missing ones. */
function changeFor(
  pod: PodView,
  planned: ServerPlan | undefined,
  options: readonly DnsOption[],
): DnsChange | undefined {
  if (planned !== undefined && 'servers' in planned) return redirectChange(pod, planned.servers, options);
  const nameservers = planned?.nameservers;
  if (nameservers !== undefined) return { nameservers, options };
  return options.length === 0 ? undefined : { options };
}

interface Refused {
  /** Why the Pod does not get the cache that it should have. */
  readonly refused: NoSidecar | undefined;
  /** What keeps `use-vc` from resolvers that need it. */
  readonly kept: TcpObstacle | undefined;
}

function reasonFor(resolvers: ReadonlySet<Resolver>, musl: ServerPlan | undefined, { refused, kept }: Refused): Reason {
  if (refused !== undefined && (musl === undefined || musl.kind === 'retry')) return refused;
  if (kept?.why === 'policies') return 'TcpNotAllowed';
  if (musl === undefined) return resolvers.has('unknown') ? 'UnknownOptions' : 'OptionsAdded';
  const mixed = resolvers.size > 1;
  if (musl.kind !== 'retry') return mixed ? 'MixedRedirected' : 'MuslRedirected';
  if (!isNotWanted(musl.why)) return musl.why;
  return mixed ? 'MixedRetried' : 'MuslRetried';
}

/**
 * Says when musl alone sends again, and why it is not redirected, in sentences to append; empty if the reason is another. With
 * the reason they fit into a warning of the admission.
 */
function retryNote(
  reason: Reason,
  servers: ServerPlan | undefined,
  { kubelet }: DecideInput,
  added: readonly DnsOption[],
): string {
  const isRetried = reason === 'MuslRetried' || reason === 'MixedRetried';
  if (!isRetried || servers?.kind !== 'retry' || !isNotWanted(servers.why)) return '';
  const options = added.map(({ name, value }) => `${name}:${value ?? ''}`);
  const resending = reason === 'MuslRetried' ? resendingOf([...kubelet().options, ...options]) : '';
  return `${resending} ${NOT_WANTED[servers.why]}`;
}

/** Names the policy to look at, or the server that nobody has asked over TCP, in a sentence to append. */
function noteOn(reason: Reason, planned: ServerPlan | undefined, kept: TcpObstacle | undefined): string {
  if (reason === 'TcpNotAllowed' || reason === 'NodeLocalNotAllowed') {
    const hindrance = reason === 'TcpNotAllowed' ? kept : planned;
    const by = hindrance !== undefined && 'by' in hindrance ? hindrance.by : undefined;
    return by === undefined ? ' They are not all read, or cannot be.' : ` See ${by}.`;
  }
  return kept?.why === 'unasked' ? ` use-vc is left out: nobody has asked ${kept.server} over TCP.` : '';
}

/** Says why the Pod does not get the cache that it should have, in a sentence to append; empty if the reason says it. */
const refusal = (reason: Reason, refused: NoSidecar | undefined): string =>
  refused === undefined || refused === reason ? '' : ` ${REASONS[refused]}`;

/**
 * In the place of what a look-up said: whether a host refused, was silent or has no address, and what its registry answered, would make
 * the webhook a scanner of ports and names for a caller that nothing vouches for.
 */
const UNTOLD = "the webhook's log says why";

/** Returns what the sender of a Pod is told: the general message if nothing vouches for the caller. */
export const toldMessage = ({ message: whole, general = whole }: Decision, verified: boolean): string =>
  verified ? whole : general;

const isUnknown = (container: ContainerVerdict): boolean => mayResolveWith(container, 'unknown');

/** Returns why a container's resolver, or one of them, is not known. */
const whyUnknown = ({ evidence, resolvers = [] }: ContainerVerdict): string =>
  (resolvers.find(({ resolver }) => resolver === 'unknown')?.evidence ?? evidence).detail;

/** `why`: why the first unknown container is unknown; needed for `UnknownOptions` alone. */
function message(reason: Reason, containers: readonly ContainerVerdict[], why: string | undefined): string {
  const unknown = containers.find(isUnknown);
  if (unknown !== undefined && why !== undefined) return `${REASONS[reason]} ${unknown.name}: ${why}.`;
  // Go is not raced: what it gets here is what the configuration gives it.
  if (reason === 'OptionsAdded' && containers.every(isGoAlone)) {
    return 'The configuration gives Go these options (go.options, extraOptions.go); Go alone needs none.';
  }
  return REASONS[reason];
}

/** Says what the options of the others cost Go, in a sentence to append; empty if they cost nothing. */
function costOfOptions({ change }: Plan, containers: readonly ContainerVerdict[], config: PolicyConfig): string {
  const go = containers.filter(isGoAlone).map(({ name }) => name);
  if (go.length === 0 || go.length === containers.length || !costsGo(change?.options ?? [], config)) return '';
  return ` Go (${go.join(', ')}) does not need the options: they cost it a round trip with each look-up.`;
}

const isGoAlone = (container: ContainerVerdict): boolean =>
  resolversOf(container).every((resolver) => resolver === 'go');

const same = (a: readonly string[], b: readonly string[]): boolean => a.join(' ') === b.join(' ');
