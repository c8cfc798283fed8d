import { exposingNodes, settingText } from '../../exposure/exposure.ts';
import { counted, listed, shellWord } from '../../util/text.ts';
import type { AuditReport, NeedVerdict } from './report.ts';
import type { LeftOut } from '../../pod-resolvers/left-out.ts';

/** What the verdict follows from: parts of the report, and what it does not show. */
interface NeedInput extends Pick<
  AuditReport,
  'source' | 'summary' | 'cluster' | 'kernels' | 'namespaces' | 'unreadable' | 'gaps'
> {
  /** Whether the webhook is installed; undefined if that could not be read. */
  readonly installed: boolean | undefined;
  /** Where the policy of the API server is alone. */
  readonly podResolvers?: LeftOut | undefined;
  /** Images that nobody has tried to read (`--offline`). */
  readonly notLookedUp: number;
}

function aboutKernels({ kernels }: NeedInput): string[] {
  if (kernels.length === 0) return ['No node was read, so the kernels are unknown.'];
  const nodes = kernels.reduce((sum, entry) => sum + entry.nodes, 0);
  if (kernels.every(({ level }) => level === 'fixed')) {
    return [`${counted(nodes, 'node has', 'nodes have')} kernels with the fixes of all three races.`];
  }
  return kernels
    .filter(({ level }) => level !== 'fixed')
    .map(
      ({ kernel, nodes: count, detail }) => `${counted(count, 'node runs', 'nodes run')} kernel ${kernel}. ${detail}`,
    );
}

function aboutPath({ cluster: { kubeProxy, nodeLocal, dns } }: NeedInput): string[] {
  const proxies: Readonly<Record<typeof kubeProxy.mode, string>> = {
    iptables: `kube-proxy (iptables) translates the address of the cluster DNS, ${dns.value}.`,
    ipvs: `kube-proxy (ipvs) translates the address of the cluster DNS, ${dns.value}.`,
    nftables: `kube-proxy (nftables) translates the address of the cluster DNS, ${dns.value}.`,
    other: `Services are not kube-proxy's: ${kubeProxy.detail}.`,
    unknown: `It is unknown how the address of the cluster DNS is translated: ${kubeProxy.detail}.`,
  };
  return [proxies[kubeProxy.mode], `Node-local DNS cache: ${nodeLocal.state} (${nodeLocal.detail}).`];
}

/** Says what the setting `exposure` comes to here, or what `auto` would come to before anything is installed, and which nodes decide it. */
function aboutExposure({ cluster: { exposure }, installed }: NeedInput): string {
  const names = exposingNodes(exposure);
  const nodes = names === '' ? '' : `: ${names}`;
  if (installed !== false) return `Exposure is set to ${settingText(exposure.setting, exposure)}${nodes}.`;
  const would = exposure.exposed ? 'Pods would be patched' : 'no Pod would be patched';
  return `With exposure auto, ${would}: ${exposure.detail}${nodes}.`;
}

/** Decides by the nodes' kernels, the path to the cluster DNS and the Pods. */
function judged(input: NeedInput): Pick<NeedVerdict, 'needed' | 'sentence'> {
  const { summary, kernels, cluster, source } = input;
  const { pods, exposure, podsPatched } = summary;
  if (source.kind === 'manifests') {
    const sentence = `${summary.podsThatWouldChange} of ${counted(pods, 'Pod')} in these manifests would be changed; whether the fault is possible shows only in a cluster.`;
    return { needed: 'perhaps', sentence };
  }
  if (pods === 0) return { needed: 'perhaps', sentence: 'No Pods run here, so there is nothing to judge.' };
  if (exposure.yes > 0) {
    const sentence = `This cluster needs it: ${exposure.yes} of ${counted(pods, 'Pod')} can lose DNS packets to the conntrack race as they run today.`;
    return { needed: 'yes', sentence };
  }
  if (exposure.possible > 0) {
    return { needed: 'perhaps', sentence: possibleSentence(input) };
  }
  if (cluster.exposure.because === 'nfqueue') {
    const sentence = `Perhaps: ${cluster.exposure.detail}, which brings back the loss that kernels have fixed.`;
    return { needed: 'perhaps', sentence };
  }
  const isFixed = kernels.length > 0 && kernels.every(({ level }) => level === 'fixed');
  if (cluster.exposure.because === 'ipvs' || (isFixed && cluster.exposure.because === 'unread')) {
    return { needed: 'perhaps', sentence: `Perhaps: ${cluster.exposure.detail}.` };
  }
  if (isFixed) {
    const sentence =
      'This cluster does not need it: the kernels of all its nodes have the fixes, so the race loses no packets.';
    return { needed: 'no', sentence };
  }
  if (cluster.nodeLocal.state === 'intercepting') {
    const sentence =
      'This cluster does not need it: the node-local DNS cache answers on the address of the cluster DNS, which is not translated then.';
    return { needed: 'no', sentence };
  }
  if (podsPatched > 0) {
    const sentence = `It is in effect: no Pod waits for the race any more; ${counted(podsPatched, 'Pod')} ${podsPatched === 1 ? 'was' : 'were'} patched.`;
    return { needed: 'yes', sentence };
  }
  return {
    needed: 'no',
    sentence: 'This cluster does not need it: no Pod can lose DNS packets to the conntrack race as they run today.',
  };
}

function possibleSentence({ summary: { pods, exposure }, notLookedUp }: NeedInput): string {
  const why = notLookedUp > 0 ? 'was not looked up' : 'could not be read';
  return `Perhaps: ${exposure.possible} of ${counted(pods, 'Pod')} may lose DNS packets to the conntrack race; what decides it ${why}.`;
}

function firstNamespace({ namespaces }: NeedInput): string | undefined {
  const candidates = namespaces.filter(
    ({ reason, exposure }) => reason === 'NotOptedIn' && exposure.yes + exposure.possible > 0,
  );
  // Begin with the smallest: least is at risk there.
  return candidates.toSorted((a, b) => a.pods - b.pods)[0]?.name;
}

function nextSteps(input: NeedInput, needed: NeedVerdict['needed']): string[] {
  const { summary, source } = input;
  const { error } = summary.findings;
  const steps: string[] = [];
  if (error > 0) {
    steps.push(
      `Correct the ${counted(error, 'error')} under Findings: ${error === 1 ? 'it breaks' : 'they break'} look-ups today, whatever the kernel.`,
    );
  }
  steps.push(...unreadSteps(input, needed));
  if (source.kind === 'manifests') return [...steps, 'Audit the cluster itself: libc-dns audit'];
  steps.push(...policySteps(input));
  if (needed === 'no')
    return [...steps, 'Nothing more: NFQUEUE-based network policies on kernels before 6.12 are the exception.'];
  if (summary.pods === 0) return [...steps, 'Run the audit again where Pods run.'];
  return [...steps, ...rolloutSteps(input)];
}

/** What to make readable, and then to run the audit again. */
function unreadSteps({ unreadable, gaps, source, notLookedUp }: NeedInput, needed: NeedVerdict['needed']): string[] {
  const steps: string[] = [];
  if (gaps.length > 0) {
    const what = source.kind === 'manifests' ? 'Correct' : 'Grant';
    steps.push(`${what} what could not be read (${counted(gaps.length, 'gap')}), and run the audit again.`);
  }
  if (notLookedUp > 0) {
    const resolvers = notLookedUp === 1 ? 'its resolver is' : 'their resolvers are';
    steps.push(
      `Run the audit again without --offline: ${counted(notLookedUp, 'image was', 'images were')} not looked up, and ${resolvers} unknown.`,
    );
  }
  if (unreadable.length > 0 && needed !== 'no') {
    steps.push(`Make ${counted(unreadable.length, 'image')} readable: the report has advice for each registry.`);
  }
  return steps;
}

/** What keeps the API server's policy from patching Pods in namespaces in scope. */
function policySteps({ namespaces, podResolvers }: NeedInput): string[] {
  if (podResolvers === undefined) return [];
  const inScope = namespaces.filter(({ mode }) => mode !== 'off').map(({ name }) => name);
  const missing = inScope.filter((name) => !podResolvers.has(name));
  const leftOut = inScope.flatMap((name) => {
    const count = podResolvers.get(name) ?? 0;
    return count > 0 ? [`${name} (${counted(count, 'image')})`] : [];
  });
  const steps: string[] = [];
  if (missing.length > 0) {
    steps.push(
      `Find out why there is no PodResolvers in ${listed(missing, 3)}, where the policy patches no Pod: libc-dns doctor --check registration,replicas`,
    );
  }
  if (leftOut.length > 0) {
    steps.push(
      `Run the webhook beside the policy (admissionPolicy.webhook=true): the PodResolvers of ${listed(leftOut, 3)} leaves images out, which count as unknown.`,
    );
  }
  return steps;
}

/** How to install it today: the README says so before a release and after. */
export const INSTALL_GUIDE = 'https://github.com/libc-dns/libc-dns-webhook#install-it';

/** The next steps of a rollout. A label does nothing before the webhook is installed, so that comes first. */
function rolloutSteps(input: NeedInput): string[] {
  const { namespaces, installed } = input;
  if (installed === undefined) return ['Find out whether the webhook is installed: libc-dns version'];
  if (!installed) {
    return [
      `Install the webhook, which changes nothing by itself: ${INSTALL_GUIDE}`,
      'Run the audit again: it then names the namespace to begin with.',
    ];
  }
  const steps: string[] = [];
  const ready = namespaces.find(({ mode, podsThatWouldChange }) => mode === 'audit' && podsThatWouldChange > 0);
  if (ready !== undefined) {
    steps.push(
      `Enforce in a namespace that is audited: kubectl label namespace ${shellWord(ready.name)} libc-dns.dev/mode=enforce --overwrite`,
    );
  }
  const first = firstNamespace(input);
  const hasBegun = namespaces.some(({ mode }) => mode !== 'off');
  if (first !== undefined)
    steps.push(
      `${hasBegun ? 'Go on with another' : 'Begin with a'} namespace: kubectl label namespace ${shellWord(first)} libc-dns.dev/mode=audit`,
    );
  const enforced = namespaces.filter(({ mode, podsThatWouldChange }) => mode === 'enforce' && podsThatWouldChange > 0);
  if (enforced.length > 0) {
    const names = enforced.slice(0, 3).map(({ name }) => name);
    steps.push(`Recreate Pods of enforcing namespaces (${names.join(', ')}): running Pods keep their DNS settings.`);
  }
  return steps;
}

/** Says whether the cluster needs the webhook, why, and what to do next. */
export function needVerdict(input: NeedInput): NeedVerdict {
  const { needed, sentence } = judged(input);
  const because =
    input.source.kind === 'manifests' ? [] : [...aboutKernels(input), ...aboutPath(input), aboutExposure(input)];
  return { needed, sentence, because, next: nextSteps(input, needed) };
}
