import type { Operation } from 'fast-json-patch';

import { podVerdicts, type PodRequest, type PodVerdictsOptions } from '../libc/pod-verdicts.ts';
import { decide, precheck } from '../policy/decide.ts';
import type {
  ClusterFacts,
  Decision,
  DnsChange,
  DnsConfig,
  NamespaceView,
  PodView,
  PolicyConfig,
  ResolvConf,
} from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';
import type { Verdict } from '../policy/verdict.ts';
import { REASONS } from '../policy/reasons.ts';
import { kubeletResolvConf } from '../resolv-conf/kubelet.ts';
import type { Alike, AlikeMemory } from './alike.ts';
import { patchFor } from './patch.ts';

export interface EvaluatorOptions {
  readonly config: PolicyConfig;
  /** Read anew for each Pod: the facts change. */
  readonly cluster: () => ClusterFacts;
  readonly verdicts: PodVerdictsOptions;
  /** Absent: each Pod is decided about anew. */
  readonly memory?: AlikeMemory;
}

export interface Evaluation {
  readonly decision: Decision;
  /** What is answered to the API server: empty in audit mode. */
  readonly patch: readonly Operation[];
  /** Made when it is asked for, which the webhook never does. */
  readonly resolvConf: () => ResolvConfs;
}

export interface ResolvConfs {
  readonly before: ResolvConf;
  /** With the remedy, in audit mode too. */
  readonly after: ResolvConf;
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

function changed(pod: PodView, change: DnsChange): PodView {
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
  return { decision, patch: [], resolvConf: () => ({ before: EMPTY, after: EMPTY }) };
}

/** What a function returns, made once and not before it is asked for. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function alikeOf(
  object: unknown,
  namespace: NamespaceView,
  memory: AlikeMemory | undefined,
): Alike | MalformedPodError {
  try {
    return memory?.of(object, namespace) ?? { object, pod: readPod(object) };
  } catch (error) {
    if (error instanceof MalformedPodError) return error;
    throw error;
  }
}

const sameVerdict = (a: Verdict, b: Verdict | undefined): boolean =>
  a === b ||
  (a.resolver === b?.resolver &&
    a.libc === b.libc &&
    a.evidence.source === b.evidence.source &&
    a.evidence.detail === b.evidence.detail &&
    a.evidence.confidence === b.evidence.confidence);

function sameVerdicts(before: readonly Verdict[] | undefined, now: readonly Verdict[]): boolean {
  return before?.length === now.length && before.every((verdict, index) => sameVerdict(verdict, now[index]));
}

/** Puts policy, detection and the kubelet's rules together: what the webhook and the command line both answer with. */
export function createEvaluator({ config, cluster, verdicts, memory }: EvaluatorOptions): Evaluate {
  return async (object, namespace, terms) => {
    const alike = alikeOf(object, namespace, memory);
    if (alike instanceof MalformedPodError) return malformed(alike);
    const { pod } = alike;
    const facts = cluster();
    const last = alike.last?.facts === facts ? alike.last : undefined;
    if (last !== undefined && last.verdicts === undefined) return last.evaluation;

    const before = lazily(() => kubeletFor(pod, namespace.name, facts));
    // No accessors here: V8 makes a hidden class for each object with one, which lives until a full collection.
    const evaluated = (decision: Decision, patch: readonly Operation[]): Evaluation => ({
      decision,
      patch,
      resolvConf: () => {
        const { change } = decision;
        const after = change && kubeletFor(changed(pod, change), namespace.name, facts);
        return { before: before(), after: after ?? before() };
      },
    });
    const known = { pod, namespace, cluster: facts, config };
    const early = last === undefined ? precheck(known) : undefined;
    if (early !== undefined) {
      const evaluation = evaluated(early, []);
      alike.last = { facts, evaluation };
      return evaluation;
    }
    const found = podVerdicts(pod, { ...terms, namespace: namespace.name }, verdicts);
    const given = found instanceof Promise ? await found : found;
    if (last !== undefined && sameVerdicts(last.verdicts, given)) return last.evaluation;
    const decision = decide({ ...known, verdicts: given, kubelet: before });
    const evaluation = evaluated(decision, patchFor(alike.object, decision));
    alike.last = { facts, verdicts: given, evaluation };
    return evaluation;
  };
}
