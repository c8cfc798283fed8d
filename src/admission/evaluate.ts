import type { Operation } from 'fast-json-patch';

import { podVerdicts, type PodRequest, type PodVerdictsOptions } from '../libc/pod-verdicts.ts';
import { decide, precheck } from '../policy/decide.ts';
import type {
  ClusterFacts,
  Decision,
  DnsConfig,
  NamespaceView,
  PodView,
  PolicyConfig,
  ResolvConf,
} from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';
import { REASONS } from '../policy/reasons.ts';
import { kubeletResolvConf } from '../resolv-conf/kubelet.ts';
import { patchFor } from './patch.ts';

export interface EvaluatorOptions {
  readonly config: PolicyConfig;
  /** Read anew for each Pod: the facts change. */
  readonly cluster: () => ClusterFacts;
  readonly verdicts: PodVerdictsOptions;
}

export interface Evaluation {
  readonly decision: Decision;
  /** What is answered to the API server: empty in audit mode. */
  readonly patch: readonly Operation[];
  readonly resolvConf: {
    readonly before: ResolvConf;
    /** With the remedy, in audit mode too. */
    readonly after: ResolvConf;
  };
}

/** Decides for one Pod or Pod template, looking its images up within the budget. Never rejects for what a Pod holds. */
export type Evaluate = (
  object: unknown,
  namespace: NamespaceView,
  terms: Omit<PodRequest, 'namespace'>,
) => Promise<Evaluation>;

const EMPTY: ResolvConf = { servers: [], searches: [], options: [] };

function kubeletFor(pod: PodView, namespace: string, cluster: ClusterFacts): ResolvConf {
  const node = { servers: [], searches: cluster.nodeSearches, options: [] };
  const kubelet = { clusterDns: cluster.dns, clusterDomain: cluster.domain, node };
  return kubeletResolvConf(kubelet, { name: '', namespace, ...pod }).resolvConf;
}

function changed(pod: PodView, decision: Decision): PodView {
  const { change } = decision;
  if (change === undefined) return pod;
  const dnsConfig: DnsConfig = {
    nameservers: change.nameservers ?? pod.dnsConfig.nameservers,
    searches: change.searches ?? pod.dnsConfig.searches,
    options: [...pod.dnsConfig.options, ...change.options],
  };
  return { ...pod, dnsPolicy: change.dnsPolicy ?? pod.dnsPolicy, dnsConfig };
}

function malformed(error: MalformedPodError): Evaluation {
  const message = `${REASONS.MalformedPod} ${error.message}.`;
  const decision = { mode: 'off', reason: 'MalformedPod', message, remedy: [], containers: [], warnings: [] } as const;
  return { decision, patch: [], resolvConf: { before: EMPTY, after: EMPTY } };
}

/** Puts policy, detection and the kubelet's rules together: what the webhook and the command line both answer with. */
export function createEvaluator({ config, cluster, verdicts }: EvaluatorOptions): Evaluate {
  return async (object, namespace, terms) => {
    let pod: PodView;
    try {
      pod = readPod(object);
    } catch (error) {
      if (error instanceof MalformedPodError) return malformed(error);
      throw error;
    }
    const facts = cluster();
    const before = kubeletFor(pod, namespace.name, facts);
    const early = precheck({ pod, namespace, cluster: facts, config });
    if (early !== undefined) return { decision: early, patch: [], resolvConf: { before, after: before } };

    const found = await podVerdicts(pod, { ...terms, namespace: namespace.name }, verdicts);
    const decision = decide({ pod, namespace, verdicts: found, cluster: facts, config, kubelet: before });
    const after = decision.change === undefined ? before : kubeletFor(changed(pod, decision), namespace.name, facts);
    return { decision, patch: patchFor(object, decision), resolvConf: { before, after } };
  };
}
