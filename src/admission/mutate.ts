import { performance } from 'node:perf_hooks';

import { beforeAbort } from '../libc/before-abort.ts';
import { encodeDecision } from '../policy/annotations.ts';
import type { Decision, NamespaceView } from '../policy/model.ts';
import { REASONS } from '../policy/reasons.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { lookupBudget } from './deadline.ts';
import type { Evaluate, Evaluation } from './evaluate.ts';
import { isPodCreation, readReview, respond, type AdmissionRequest, type ReviewResponse } from './review.ts';

/** Where a namespace's labels come from. Owned here; `kubernetes/` reads them from the API. */
export interface Namespaces {
  /** Rejects where they cannot be read. */
  get(name: string): NamespaceView | Promise<NamespaceView>;
}

export interface MutateOptions {
  readonly evaluate: Evaluate;
  readonly namespaces: Namespaces;
  /** Milliseconds. */
  readonly budget: number;
  /** Tell the user what was decided, not only what is wrong with an annotation. */
  readonly warnings: boolean;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Told of each decision on a Pod that is created in earnest. Must return at once and never throw. Absent: nobody is. */
  readonly onDecided?: (told: ToldDecision) => void;
}

/** A decision, for whoever passes it on. */
export interface ToldDecision {
  readonly object: unknown;
  readonly namespace: string;
  readonly decision: Decision;
}

const MOST_LOGGED = 8;
const MOST_MESSAGE = 1000;
/** No name of Kubernetes is longer (RFC 1123 subdomain). A caller that is no API server may send any. */
const MOST_NAME = 253;
/** Milliseconds after the budget from which on an answer counts as late. */
const LATE_MS = 100;

/** `object.metadata.namespace` may be empty at admission: the request's own is right. */
const namespaceOf = (request: AdmissionRequest): string => (request.namespace ?? '').slice(0, MOST_NAME);

function podName(request: AdmissionRequest): string {
  const object = request.object as { metadata?: { name?: unknown; generateName?: unknown } } | null | undefined;
  const name = request.name || object?.metadata?.name || object?.metadata?.generateName;
  return typeof name === 'string' ? name.slice(0, MOST_NAME) : '';
}

function decisionWarnings(decision: Decision, tell: boolean): string[] {
  if (!tell || decision.mode === 'off') return [...decision.warnings];
  const told = decision.remedy.length === 0 ? 'nothing' : decision.remedy.join(' and ');
  const verb = decision.mode === 'audit' ? 'would apply' : 'applied';
  return [...decision.warnings, `${verb} ${told} (${decision.reason}): ${decision.message}`];
}

function resolverCounts(decision: Decision): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { resolver } of decision.containers) counts[resolver] = (counts[resolver] ?? 0) + 1;
  return counts;
}

/** Why we say so, for the first containers: a log line stays short whatever a Pod holds. */
function evidence(decision: Decision): Record<string, string> {
  const named = decision.containers.slice(0, MOST_LOGGED);
  return Object.fromEntries(
    named.map(({ name, evidence: { detail } }) => [name.slice(0, MOST_NAME), detail.slice(0, 200)]),
  );
}

async function namespaceView(namespaces: Namespaces, name: string, budget: number): Promise<NamespaceView> {
  const found = namespaces.get(name);
  if (!(found instanceof Promise)) return found;
  const view = await beforeAbort(found, AbortSignal.timeout(Math.max(1, Math.floor(budget))));
  if (view === undefined) throw new Error(`the labels of namespace ${name} could not be read in time`);
  return view;
}

type Decided = Pick<Evaluation, 'decision' | 'patch'> & { readonly unreadable?: unknown };

/** A namespace that cannot be read may have said `off` or `audit`: no Pod of it is changed. */
function namespaceUnknown(unreadable: unknown): Decided {
  const reason = 'NamespaceUnknown';
  const decision = { mode: 'off', reason, message: REASONS[reason], remedy: [], containers: [], warnings: [] } as const;
  return { decision, patch: [], unreadable };
}

async function decidePod(request: AdmissionRequest, budget: number, options: MutateOptions): Promise<Decided> {
  const started = performance.now();
  let namespace: NamespaceView;
  try {
    namespace = await namespaceView(options.namespaces, namespaceOf(request), budget);
  } catch (error) {
    return namespaceUnknown(error);
  }
  const budgetMs = budget - (performance.now() - started);
  return await options.evaluate(request.object, namespace, { budgetMs, dryRun: request.dryRun === true });
}

function levelOf({ decision, unreadable }: Decided): 'debug' | 'info' | 'warn' {
  if (unreadable !== undefined) return 'warn';
  return decision.mode === 'off' ? 'debug' : 'info';
}

async function answerPod(request: AdmissionRequest, budget: number, options: MutateOptions): Promise<ReviewResponse> {
  const started = performance.now();
  const decided = await decidePod(request, budget, options);
  const { decision, patch, unreadable } = decided;
  const { mode, reason, remedy, containers } = decision;
  const duration = performance.now() - started;
  if (request.dryRun !== true) {
    options.onDecided?.({ object: request.object, namespace: namespaceOf(request), decision });
  }
  const message = decision.message.slice(0, MOST_MESSAGE);
  options.metrics.decided(decision, duration / 1000);
  if (duration > budget + LATE_MS) options.metrics.service.late();
  options.log[levelOf(decided)](
    {
      uid: request.uid,
      namespace: namespaceOf(request),
      pod: podName(request),
      mode,
      reason,
      remedy,
      resolvers: resolverCounts(decision),
      evidence: evidence(decision),
      patched: patch.length > 0,
      dryRun: request.dryRun === true,
      ms: Math.round(duration * 100) / 100,
      ...(unreadable !== undefined && { err: unreadable }),
    },
    message,
  );
  const audit = { mode, decision: encodeDecision(reason, remedy, containers), message };
  return respond(request.uid, {
    patch,
    auditAnnotations: audit,
    warnings: decisionWarnings(decision, options.warnings),
  });
}

/**
 * Answers one AdmissionReview: `allowed: true` whatever happens inside. Throws `ReviewError` where the body is not an
 * AdmissionReview v1. `elapsed`: milliseconds since the request came in.
 */
export async function mutate(
  body: unknown,
  query: unknown,
  elapsed: number,
  options: MutateOptions,
): Promise<ReviewResponse> {
  const request = readReview(body);
  if (!isPodCreation(request)) {
    options.metrics.passedBy();
    const audit = { mode: 'off', decision: encodeDecision('NotPodCreation', [], []) };
    return respond(request.uid, { patch: [], auditAnnotations: audit, warnings: [] });
  }
  try {
    return await answerPod(request, lookupBudget(options.budget, query, elapsed), options);
  } catch (error) {
    options.metrics.failed();
    options.log.error(
      { err: error, uid: request.uid, namespace: namespaceOf(request) },
      'the Pod is admitted as it is',
    );
    return respond(request.uid, { patch: [], warnings: [] });
  }
}
