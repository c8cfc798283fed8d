import type { Operation } from 'fast-json-patch';

import { type PodRequest, podVerdicts, type PodVerdictsOptions } from '../detection/pod-verdicts.ts';
import { decide, type DecideInput, precheck } from '../policy/decide.ts';
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
import { REASONS } from '../policy/reasons.ts';
import type { Verdict } from '../policy/verdict.ts';
import { kubeletResolvConf } from '../resolv-conf/kubelet.ts';
import { patchFor } from './patch.ts';
import type { Alike, AlikeMemory, LastDecision } from './template-cache.ts';

interface EvaluatorOptions {
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

type Terms = Omit<PodRequest, 'namespace'>;

/** Decides for one Pod or Pod template, looking its images up within the budget. Never rejects for what a Pod holds. */
export type Evaluate = (object: unknown, namespace: NamespaceView, terms: Terms) => Evaluation | Promise<Evaluation>;

/** The same in two steps, for whoever meets Pods again. */
export interface Evaluator {
  /** What of a Pod a decision is made from; an error where it is not well formed. */
  read(object: unknown, namespace: NamespaceView): Alike | MalformedPodError;
  /** The same of Pods that were read before. */
  again(alike: Alike, namespace: NamespaceView): Alike;
  evaluate(pod: Alike | MalformedPodError, namespace: NamespaceView, terms: Terms): Evaluation | Promise<Evaluation>;
}

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

type Known = Omit<DecideInput, 'verdicts' | 'kubelet'>;

function wellFormed(read: () => Alike): Alike | MalformedPodError {
  try {
    return read();
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

/** An evaluation without accessors: V8 makes a hidden class for each object with one, which lives until a full collection. */
function evaluationOf(known: Known, decision: Decision, object: unknown): Evaluation {
  const { pod, namespace, cluster } = known;
  const { change } = decision;
  return {
    decision,
    patch: patchFor(object, decision),
    resolvConf: () => {
      const before = kubeletFor(pod, namespace.name, cluster);
      const after = change === undefined ? before : kubeletFor(changed(pod, change), namespace.name, cluster);
      return { before, after };
    },
  };
}

/**
 * Milliseconds for which Pods that are alike get what the last one got: a Deployment's come in bursts. Only where that was known
 * at once, so that nobody is given an answer that somebody else did not wait for.
 */
const BURST_MS = 1000;

interface Asked {
  readonly alike: Alike;
  readonly known: Known;
  readonly verdicts: readonly Verdict[];
  /** None of the verdicts had to be waited for. */
  readonly atOnce: boolean;
}

/** What was decided for a Pod and for its template, from the same facts. */
const decidedBefore = ({ last, template }: Alike, facts: ClusterFacts): LastDecision[] =>
  [last, template?.last].filter((one) => one !== undefined).filter((one) => one.facts === facts);

function keep(alike: Alike, last: LastDecision): Evaluation {
  alike.last = last;
  if (alike.template !== undefined) alike.template.last = last;
  return last.evaluation;
}

function decideAbout({ alike, known, verdicts, atOnce }: Asked, memory: AlikeMemory | undefined): Evaluation {
  const { pod, namespace, cluster: facts } = known;
  const last = decidedBefore(alike, facts).find((one) => sameVerdicts(one.verdicts, verdicts));
  const kubelet = lazily(() => kubeletFor(pod, namespace.name, facts));
  const evaluation = last?.evaluation ?? evaluationOf(known, decide({ ...known, verdicts, kubelet }), alike.object);
  const until = atOnce && memory !== undefined && { until: memory.now() + BURST_MS };
  return keep(alike, { facts, verdicts, evaluation, ...until });
}

/** What was decided for Pods that are alike, where nothing has to be asked to know that it still holds. */
function stillHolds(alike: Alike, facts: ClusterFacts, memory: AlikeMemory | undefined): Evaluation | undefined {
  if (memory === undefined) return undefined;
  const { last } = alike;
  if (last?.facts === facts && last.until !== undefined && memory.now() < last.until) return last.evaluation;
  return decidedBefore(alike, facts).find(({ verdicts }) => verdicts === undefined)?.evaluation;
}

/** Puts policy, detection and the kubelet's rules together: what the webhook and the command line both answer with. */
export function createEvaluator({ config, cluster, verdicts, memory }: EvaluatorOptions): Evaluator {
  return {
    read: (object, namespace) => wellFormed(() => memory?.of(object, namespace) ?? { object, pod: readPod(object) }),
    again: (alike, namespace) => memory?.again(alike, namespace) ?? alike,
    evaluate(alike, namespace, terms) {
      if (alike instanceof MalformedPodError) return malformed(alike);
      const facts = cluster();
      const holds = stillHolds(alike, facts, memory);
      if (holds !== undefined) return holds;
      const known = { pod: alike.pod, namespace, cluster: facts, config };
      const early = precheck(known);
      if (early !== undefined) return keep(alike, { facts, evaluation: evaluationOf(known, early, alike.object) });
      const found = podVerdicts(alike.pod, { ...terms, namespace: namespace.name }, verdicts);
      if (!(found instanceof Promise)) return decideAbout({ alike, known, verdicts: found, atOnce: true }, memory);
      return found.then((given) => decideAbout({ alike, known, verdicts: given, atOnce: false }, memory));
    },
  };
}

/** In one step. */
export function createEvaluate(options: EvaluatorOptions): Evaluate {
  const evaluator = createEvaluator(options);
  return (object, namespace, terms) => evaluator.evaluate(evaluator.read(object, namespace), namespace, terms);
}
