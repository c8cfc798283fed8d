import { parseDaemonSets } from '../../config/options.ts';
import type { Config } from '../../config/schema.ts';
import { type Exposure, exposingNodes, settingText } from '../../exposure/exposure.ts';
import type { FixState } from '../../exposure/kernel-fixes.ts';
import { judgeKernel, type KernelLevel } from '../../exposure/kernels.ts';
import { type KubeProxy, kubeProxyOf, type KubeProxySources } from '../../exposure/kube-proxy.ts';
import { compareText, counted, shellWord, listed } from '../../util/text.ts';
import { type Advice, failure, ok, type Outcome, skipped, warning, errorText } from '../check.ts';
import { NeedsClusterError, type Evidence } from '../evidence.ts';
import type { Check } from '../run.ts';
import type { DnsSeen, NodeSeen } from '../view/view.ts';

/** Returns the checks of the cluster itself, and of whether the fault is possible in it. */
export function faultChecks(evidence: Evidence): Check[] {
  return [
    { id: 'api-server', group: 'access', run: () => judgeAccess(evidence) },
    { id: 'kernels', group: 'fault', run: async () => judgeKernels(await evidence.nodes()) },
    { id: 'kube-proxy', group: 'fault', run: async () => judgeKubeProxy(await evidence.kubeProxy()) },
    {
      id: 'node-local',
      group: 'fault',
      run: async () => {
        await evidence.view();
        const dns = await evidence.dns();
        if (dns.unread !== undefined) throw dns.unread;
        return judgeNodeLocal((await evidence.webhookConfig()).config, dns);
      },
    },
    {
      id: 'exposure',
      group: 'fault',
      run: async () => judgeSetting((await evidence.webhookConfig()).config.exposure, await evidence.exposure()),
    },
  ];
}

const HOW = { text: 'Name the cluster with --kubeconfig and --context, as for kubectl.' };

const [LEAST_MAJOR, LEAST_MINOR] = [1, 30];

/** Judges whether an API server answers, and whether its version suits the webhook. */
async function judgeAccess({ parts, view }: Evidence): Promise<Outcome> {
  if (parts.view === undefined) return skipped(`no cluster: ${parts.noCluster ?? 'none is named'}`, { advice: [HOW] });
  const { server } = parts.view;
  try {
    const version = await (await view()).version();
    const data = { server, version };
    const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
    const old = Number(major) === LEAST_MAJOR && Number(minor) < LEAST_MINOR;
    if (!old) return ok(`${server} answers (Kubernetes ${version})`, { data });
    const seen = `${server} is Kubernetes ${version}: matchConditions need 1.30 or later`;
    return warning(seen, {
      data,
      advice: [{ text: 'Update the cluster, or remove matchConditions from the registration.' }],
    });
  } catch (error) {
    if (!(error instanceof NeedsClusterError)) throw error;
    return failure(error.message, { data: { server }, advice: [HOW] });
  }
}

const UPDATE = {
  text: 'Kernels from 5.9 on have all three fixes. Until the nodes are updated, the webhook keeps Pods out of the race.',
};
const MEASURE = {
  text: 'Ask the distribution whether it has backported these commits, or measure: see dns-race.',
};
const NFQUEUE = 'before 6.12, network policies that use NFQUEUE bring the loss back (kubernetes-sigs/kind#3713)';

/** Judges whether the nodes' kernels have the fixes of the race. */
export function judgeKernels(nodes: readonly NodeSeen[]): Outcome {
  const linux = nodes.filter(({ os }) => os !== 'windows');
  if (linux.length === 0) return skipped('the cluster has no Linux nodes');
  const byKernel = Map.groupBy(linux, ({ kernel }) => kernel);
  const kernels = [...byKernel]
    .map(([kernel, on]) => seenOn(kernel, on.map(({ name }) => name).toSorted(compareText)))
    .toSorted((left, right) => RANK[left.level] - RANK[right.level] || compareText(left.kernel, right.kernel));
  const on = (level: KernelLevel): number =>
    kernels.filter((kernel) => kernel.level === level).reduce((sum, kernel) => sum + kernel.nodes.length, 0);
  const data = {
    nodes: linux.length,
    exposed: on('exposed'),
    unknown: on('unknown'),
    kernels: kernels.map(({ kernel, nodes: names, level, fixes }) => ({ kernel, nodes: names, level, fixes })),
  };
  const details = kernels.filter(({ level }) => level !== 'fixed').map(({ text }) => text);
  const some = (number: number): string =>
    `${number} of ${counted(linux.length, 'Linux node')} ${number === 1 ? 'runs' : 'run'} a`;
  if (on('exposed') > 0) {
    const seen = `${some(on('exposed'))} kernel that lacks a fix of the race: the fault is possible there`;
    return warning(seen, { details, data, advice: [UPDATE] });
  }
  if (on('unknown') > 0) {
    const seen = `${some(on('unknown'))} kernel that may lack a fix of the race: its version does not tell`;
    return warning(seen, { details, data, advice: [MEASURE] });
  }
  const withNfqueue = kernels.some(({ fixes }) => fixes['nfqueue'] !== 'present');
  const all = linux.length === 1 ? 'the one Linux node runs a kernel' : `all ${linux.length} Linux nodes run kernels`;
  return ok(`${all} with the fixes of all three races`, { data, details: withNfqueue ? [NFQUEUE] : [] });
}

interface KernelSeen {
  readonly kernel: string;
  readonly nodes: readonly string[];
  readonly level: KernelLevel;
  readonly fixes: Readonly<Record<string, FixState>>;
  /** Missing and unknown fixes, one line. */
  readonly text: string;
}

function seenOn(kernel: string, nodes: readonly string[]): KernelSeen {
  const { level, fixes } = judgeKernel(kernel);
  const named = (state: FixState): string =>
    fixes
      .filter((fix) => !fix.onlyWithNfqueue && fix.state === state)
      .map(({ commit, how }) => `${commit} (${how})`)
      .join(', ');
  const [lacking, partial, unknown] = [named('missing'), named('partial'), named('unknown')];
  const where = `${kernel || 'kernel not given'}, ${counted(nodes.length, 'node')} (${listed(nodes, 3)})`;
  const parts = [
    ...(lacking === '' ? [] : [`lacks ${lacking}`]),
    ...(partial === '' ? [] : [`has only a first version of ${partial}`]),
    ...(unknown === '' ? [] : [`its number does not tell whether it has ${unknown}`]),
  ];
  return {
    kernel,
    nodes,
    level,
    fixes: Object.fromEntries(fixes.map(({ race, state }) => [race, state])),
    text: `${where}: ${parts.join('; ') || 'has the fixes of all three races'}`,
  };
}

const RANK: Readonly<Record<KernelLevel, number>> = { exposed: 0, unknown: 1, fixed: 2 };

const BY_CONNTRACK = 'Services are translated by conntrack, so the fixes of the kernels matter';

const MEANING: Readonly<Record<Exclude<KubeProxy['mode'], 'unknown'>, string>> = {
  iptables: BY_CONNTRACK,
  ipvs: `${BY_CONNTRACK}; a node-local cache has to be asked by its own address`,
  nftables: BY_CONNTRACK,
  other: 'Cilium translates Services, mostly before there is a packet, so the conntrack race does not occur',
};

const LOOK = {
  text: 'Look on a node:',
  command: 'curl -s http://localhost:10249/proxyMode',
};

/** Judges how kube-proxy, or its replacement, translates the address of the cluster DNS. */
export function judgeKubeProxy(sources: KubeProxySources): Outcome {
  const { mode, source, detail } = kubeProxyOf(sources);
  if (mode === 'unknown') {
    const unread = [...new Set(sources.unread.map(errorText))].join('; ');
    return skipped(`the mode of kube-proxy is unknown: ${unread || detail}`, { advice: [LOOK] });
  }
  const details = [MEANING[mode]];
  if (mode === 'other')
    return ok(`Cilium replaces kube-proxy (${source})`, { details, data: { mode: 'ebpf', source } });
  return ok(`${mode} mode (${source}: ${detail})`, { details, data: { mode, source } });
}

const INSTALL: Advice = {
  text: 'Optional: with NodeLocal DNSCache musl Pods are redirected and lose nothing. docs/install.md, "A node-local cache".',
};

/** Judges the node-local cache, and whether the configuration fits it. */
export function judgeNodeLocal(settings: Settings, dns: DnsSeen): Outcome {
  const { facts, nodeLocalDetail, sources } = dns;
  const { mode, daemonSet } = settings.nodeLocal;
  const wrong = forced(settings) ? judgeForced(settings, dns) : undefined;
  if (wrong !== undefined) return wrong;
  const data = {
    state: facts.nodeLocal,
    configured: mode,
    addresses: facts.nodeLocalAddresses ?? [],
    source: sources.nodeLocal,
  };
  const details = mode === 'off' ? ['nodeLocal.mode is off: it is not used'] : [];
  switch (facts.nodeLocal) {
    case 'ready':
      return ok(`ready: ${nodeLocalDetail}`, { details, data });
    case 'intercepting':
      return ok(`answers at the address of the cluster DNS: ${nodeLocalDetail}; no redirect is needed`, {
        details,
        data,
      });
    case 'absent':
      return ok(`absent (no DaemonSet ${daemonSet}): a lost packet costs musl Pods 0.5 s`, { data, advice: [INSTALL] });
    case 'unready':
      return warning(`not ready on enough nodes: ${nodeLocalDetail}`, {
        details,
        data,
        advice: [describeDaemonSet(daemonSet)],
      });
    default:
      return warning(`not understood: ${nodeLocalDetail}`, {
        data,
        advice: [{ text: 'Set nodeLocal.mode to on or off, and nodeLocal.addresses.' }],
      });
  }
}

type Settings = Pick<Config, 'nodeLocal' | 'musl'>;

/** Reports whether Pods are redirected whatever discovery finds. */
const forced = ({ nodeLocal, musl }: Settings): boolean => nodeLocal.mode === 'on' || musl.remedy === 'redirect';

const describeDaemonSet = (daemonSet: string): Advice => {
  const choice = parseDaemonSets(daemonSet);
  const kubectl = `kubectl -n ${shellWord(choice.namespace)}`;
  const text = 'See what is wrong with it:';
  if ('name' in choice) return { text, command: `${kubectl} describe daemonset ${shellWord(choice.name)}` };
  const selector = 'labelSelector' in choice ? ` -l ${shellWord(choice.labelSelector)}` : '';
  return { text, command: `${kubectl} get daemonsets${selector}` };
};

/** Warns if the configuration redirects Pods to a cache that is not ready; undefined if it is ready. */
function judgeForced(settings: Settings, { facts, nodeLocalDetail }: DnsSeen): Outcome | undefined {
  const { mode, daemonSet, fallback } = settings.nodeLocal;
  const cause = mode === 'on' ? 'nodeLocal.mode is on' : 'musl.remedy is redirect';
  const data = { state: facts.nodeLocal, configured: mode };
  if (facts.nodeLocal === 'ready' || facts.nodeLocal === 'intercepting') return undefined;
  const cost = fallback
    ? 'musl asks the cluster DNS as well, other resolvers of the Pod wait for a timeout first'
    : 'redirected Pods resolve nothing, for nodeLocal.fallback is off';
  const seen =
    facts.nodeLocal === 'absent'
      ? `${cause}, and there is no DaemonSet ${daemonSet}`
      : `${cause}, and the cache is not ready everywhere: ${nodeLocalDetail}`;
  const advice = [
    { text: 'Set nodeLocal.mode: auto, or nodeLocal.daemonSet to the name that the cache has here.' },
    ...(facts.nodeLocal === 'absent' ? [] : [describeDaemonSet(daemonSet)]),
  ];
  return warning(seen, { details: [`where nobody answers at its address: ${cost}`], data, advice });
}

const AUTO: Advice = {
  text: 'Optional: with exposure: auto nothing is patched while this is so. docs/cluster-facts.md, "Exposure".',
};

/** Says what `exposure: auto` does here, or would do, and which nodes decide it. */
export function judgeSetting(setting: Config['exposure'], exposure: Exposure): Outcome {
  const data = { configured: setting, ...exposure };
  const nodes = exposingNodes(exposure);
  const details = nodes === '' ? [] : [`because of ${nodes}`];
  const advice = setting === 'always' && !exposure.exposed ? [AUTO] : [];
  return ok(settingText(setting, exposure), { data, details, advice });
}
