import type { Operation } from 'fast-json-patch';

import { type PodRequest, podVerdicts, type PodVerdictsOptions } from '../detection/pod/pod-verdicts.ts';
import { REACHES_ALL } from '../exposure/dns-target.ts';
import { decide, precheck } from '../policy/decide.ts';
import type {
  ClusterFacts,
  Decision,
  DnsChange,
  DnsConfig,
  NamespaceView,
  PodView,
  PolicyConfig,
  Reach,
  ResolvConf,
} from '../policy/model.ts';
import { MalformedPodError, malformedMessage, readPod } from '../policy/read-pod.ts';
import type { Verdict } from '../policy/verdict.ts';
import { expectedResolvConf } from '../resolv-conf/kubelet.ts';
import { asObject } from '../util/json.ts';
import { patchFor } from './patch.ts';

export interface EvaluatorOptions {
  readonly config: PolicyConfig;
  /** Called for each Pod: the facts change. */
  readonly cluster: () => ClusterFacts;
  readonly verdicts: PodVerdictsOptions;
  /** Returns what its network policies let a Pod reach; `labels` as the Pod has them. Absent: they are not looked at. */
  readonly reach?: (namespace: string, labels: unknown) => Reach;
}

export interface Evaluation {
  readonly decision: Decision;
  /** Sent to the API server. Empty in audit mode. */
  readonly patch: readonly Operation[];
  /** Computed by the call. The webhook never calls it. */
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

/** A Pod to decide for, and what the decision comes from besides the verdicts. */
export interface Subject {
  /** The Pod, or those parts of it that its patch depends on. */
  readonly object: unknown;
  readonly pod: PodView;
  readonly namespace: NamespaceView;
  readonly facts: ClusterFacts;
  readonly reach: Reach;
}

/** The steps of an evaluation. */
export interface Evaluator<S extends Subject = Subject> {
  /** Returns what is known of the cluster now. */
  facts(): ClusterFacts;
  /** Returns what the Pod's network policies let it reach. */
  reach(object: unknown, namespace: NamespaceView): Reach;
  /** Throws {@link MalformedPodError}. */
  read(object: unknown, namespace: NamespaceView): S;
  /** Decides without verdicts; undefined if they are needed. */
  precheck(subject: S): Evaluation | undefined;
  /** Returns a verdict for each container: at once if all are known, else within the budget. */
  verdicts(subject: S, terms: Terms): readonly Verdict[] | Promise<readonly Verdict[]>;
  decide(subject: S, verdicts: readonly Verdict[]): Evaluation;
}

const EMPTY: ResolvConf = { servers: [], searches: [], options: [] };

const kubeletFor = (pod: PodView, { namespace, facts }: Subject): ResolvConf =>
  expectedResolvConf(facts, namespace.name, pod);

function changed(pod: PodView, change: DnsChange): PodView {
  const dnsConfig: DnsConfig = {
    nameservers: change.nameservers ?? pod.dnsConfig.nameservers,
    searches: change.searches ?? pod.dnsConfig.searches,
    options: [...pod.dnsConfig.options, ...change.options],
  };
  return { ...pod, dnsPolicy: change.dnsPolicy ?? pod.dnsPolicy, dnsConfig };
}

function malformed(error: MalformedPodError): Evaluation {
  const told = { reason: 'MalformedPod', message: malformedMessage(error) } as const;
  const decision = { ...told, mode: 'off', remedy: [], containers: [], warnings: [] } as const;
  return { decision, patch: [], resolvConf: () => ({ before: EMPTY, after: EMPTY }) };
}

/** Calls `make` once, when its value is first asked for. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** An evaluation without accessors: V8 makes a hidden class for each object with one, which lives until a full collection. */
function evaluationOf(subject: Subject, decision: Decision): Evaluation {
  const { object, pod } = subject;
  const { change } = decision;
  return {
    decision,
    patch: patchFor(object, decision),
    resolvConf: () => {
      const before = kubeletFor(pod, subject);
      const after = change === undefined ? before : kubeletFor(changed(pod, change), subject);
      return { before, after };
    },
  };
}

/** Puts policy, detection and the kubelet's rules together. Remembers nothing. */
export function createEvaluator({ config, cluster, verdicts, reach = () => REACHES_ALL }: EvaluatorOptions): Evaluator {
  const reachOf = (object: unknown, { name }: NamespaceView): Reach =>
    reach(name, asObject(asObject(object)['metadata'])['labels']);
  return {
    facts: cluster,
    reach: reachOf,
    read: (object, namespace) => ({
      object,
      pod: readPod(object),
      namespace,
      facts: cluster(),
      reach: reachOf(object, namespace),
    }),
    precheck(subject) {
      const { pod, namespace, facts } = subject;
      const early = precheck({ pod, namespace, cluster: facts, config });
      return early && evaluationOf(subject, early);
    },
    verdicts: ({ pod, namespace }, terms) => podVerdicts(pod, { ...terms, namespace: namespace.name }, verdicts),
    decide(subject, found) {
      const { pod, namespace, facts, reach: reached } = subject;
      const kubelet = lazily(() => kubeletFor(pod, subject));
      const input = { pod, namespace, cluster: facts, config, verdicts: found, reach: reached, kubelet };
      return evaluationOf(subject, decide(input));
    },
  };
}

/** Takes all steps of an evaluator. Returns no promise if nothing has to be waited for. */
export function evaluateBy<S extends Subject>(evaluator: Evaluator<S>): Evaluate {
  const read = (object: unknown, namespace: NamespaceView): S | MalformedPodError => {
    try {
      return evaluator.read(object, namespace);
    } catch (error) {
      if (error instanceof MalformedPodError) return error;
      throw error;
    }
  };
  return (object, namespace, terms) => {
    const subject = read(object, namespace);
    if (subject instanceof MalformedPodError) return malformed(subject);
    const early = evaluator.precheck(subject);
    if (early !== undefined) return early;
    const found = evaluator.verdicts(subject, terms);
    if (!(found instanceof Promise)) return evaluator.decide(subject, found);
    return found.then((verdicts) => evaluator.decide(subject, verdicts));
  };
}

/** What the command line decides with: each Pod anew. */
export const createEvaluate = (options: EvaluatorOptions): Evaluate => evaluateBy(createEvaluator(options));
