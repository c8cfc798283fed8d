import { performance } from 'node:perf_hooks';

import { parseDuration } from '../config/options.ts';
import { encodeDecision } from '../policy/annotations.ts';
import type { Decision, NamespaceView, ToldDecision } from '../policy/model.ts';
import { REASONS } from '../policy/reasons.ts';
import type { LineLog } from '../telemetry/log-limits.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { beforeAbort } from '../util/abort.ts';
import { asObject } from '../util/json.ts';
import type { Evaluation, Evaluator } from './evaluate.ts';
import { createKnownReviews, type KnownReviews, type PodCreation } from './known-reviews.ts';
import { type AdmissionRequest, isPodCreation, parseReview, prepareResponse } from './review.ts';

/** Where a namespace's labels come from. Owned here; `kubernetes/` reads them from the API. */
export interface Namespaces {
  /** Rejects where they cannot be read. */
  get(name: string): NamespaceView | Promise<NamespaceView>;
}

export interface MutateOptions {
  readonly evaluator: Evaluator;
  readonly namespaces: Namespaces;
  /** Milliseconds. */
  readonly budget: number;
  /** Tell the user what was decided, not only what is wrong with an annotation. */
  readonly warnings: boolean;
  readonly metrics: Metrics;
  readonly log: LineLog;
  /** Told of each decision on a Pod that is created in earnest. Must return at once and never throw. Absent: nobody is. */
  readonly onDecided?: (told: ToldDecision) => void;
}

const MOST_LOGGED = 8;
const MOST_MESSAGE = 1000;
/** No name of Kubernetes is longer (RFC 1123 subdomain). A caller that is no API server may send any. */
const MOST_NAME = 253;
/** Milliseconds after the budget from which on an answer counts as late. */
const LATE_MS = 100;

/** `object.metadata.namespace` may be empty at admission: the request's own is right. */
const namespaceOf = (request: AdmissionRequest): string => (request.namespace ?? '').slice(0, MOST_NAME);

function podCreation(request: AdmissionRequest): PodCreation {
  const { name, generateName, ownerReferences: owners } = asObject(asObject(request.object)['metadata']);
  const pod = request.name || name || generateName;
  return {
    namespace: namespaceOf(request),
    pod: typeof pod === 'string' ? pod.slice(0, MOST_NAME) : '',
    dryRun: request.dryRun === true,
    owners,
  };
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

async function inTime(found: Promise<NamespaceView>, name: string, budget: number): Promise<NamespaceView> {
  const view = await beforeAbort(found, AbortSignal.timeout(Math.max(1, Math.floor(budget))));
  if (view === undefined) throw new Error(`the labels of namespace ${name} could not be read in time`);
  return view;
}

/** What is said of an evaluation: the same for all Pods that got it. */
interface Said {
  readonly fields: object;
  readonly message: string;
  readonly count: (seconds: number) => void;
  readonly response: (uid: string) => string;
}

function sayingOf({ decision, patch }: Decided, { warnings: tell, metrics }: MutateOptions): Said {
  const { mode, reason, remedy, containers } = decision;
  const message = decision.message.slice(0, MOST_MESSAGE);
  const auditAnnotations = { mode, decision: encodeDecision(reason, remedy, containers), message };
  const warnings = decisionWarnings(decision, tell);
  const resolvers = resolverCounts(decision);
  return {
    fields: { mode, reason, remedy, resolvers, evidence: evidence(decision), patched: patch.length > 0 },
    message,
    count: metrics.decided(decision),
    response: prepareResponse({ patch, auditAnnotations, warnings }),
  };
}

type Decided = Pick<Evaluation, 'decision' | 'patch'> & { readonly unreadable?: unknown };

/** A namespace that cannot be read may have said `off` or `audit`: no Pod of it is changed. */
function namespaceUnknown(unreadable: unknown): Decided {
  const reason = 'NamespaceUnknown';
  const decision = { mode: 'off', reason, message: REASONS[reason], remedy: [], containers: [], warnings: [] } as const;
  return { decision, patch: [], unreadable };
}

async function decideInTime(
  found: Promise<NamespaceView>,
  name: string,
  budget: number,
  decide: (namespace: NamespaceView, budgetMs: number) => Decided | Promise<Decided>,
): Promise<Decided> {
  const started = performance.now();
  let namespace: NamespaceView;
  try {
    namespace = await inTime(found, name, budget);
  } catch (error) {
    return namespaceUnknown(error);
  }
  return await decide(namespace, budget - (performance.now() - started));
}

/** A Pod that is to be created. */
interface Creation {
  readonly uid: string;
  readonly request: PodCreation;
  /** `atOnce`: nothing was waited for, so that the body is still there. */
  readonly read: (namespace: NamespaceView, atOnce: boolean) => ReturnType<Evaluator['read']>;
}

/** At once where nothing has to be waited for, as for nearly all Pods: each promise costs some of a known Pod's time. */
function decidePod({ request, read }: Creation, budget: number, options: MutateOptions): Decided | Promise<Decided> {
  const { namespace: name, dryRun } = request;
  const found = options.namespaces.get(name);
  const atOnce = !(found instanceof Promise);
  const decide = (namespace: NamespaceView, budgetMs: number): Decided | Promise<Decided> =>
    options.evaluator.evaluate(read(namespace, atOnce), namespace, { budgetMs, dryRun });
  return atOnce ? decide(found, budget) : decideInTime(found, name, budget, decide);
}

function levelOf({ decision, unreadable }: Decided): 'debug' | 'info' | 'warn' {
  if (unreadable !== undefined) return 'warn';
  return decision.mode === 'off' ? 'debug' : 'info';
}

interface Answering {
  readonly creation: Creation;
  /** As `performance.now` has it. */
  readonly started: number;
  /** Milliseconds. */
  readonly budget: number;
  readonly said: (decided: Decided) => Said;
  readonly trace: string | undefined;
}

/** Tells everybody of a decision, and the API server last. */
function answerPod(
  { creation, started, budget, said, trace }: Answering,
  decided: Decided,
  options: MutateOptions,
): string {
  const { decision, unreadable } = decided;
  const duration = performance.now() - started;
  const { uid, request } = creation;
  const { namespace, pod, dryRun, owners } = request;
  if (!dryRun) options.onDecided?.({ owners, namespace, decision });
  const { fields, message, count, response } = said(decided);
  count(duration / 1000);
  if (duration > budget + LATE_MS) options.metrics.service.late();
  const level = levelOf(decided);
  const line = options.log.line(level);
  if (line !== undefined) {
    const ms = Math.round(duration * 100) / 100;
    const rare = {
      ...(trace !== undefined && { traceId: trace }),
      ...(unreadable !== undefined && { err: unreadable }),
    };
    line[level]({ uid, namespace, pod, ...fields, dryRun, ms, ...rare }, message);
  }
  return response(uid);
}

/** A request to create a Pod, known by its text or parsed; the uid of a request for anything else. Throws `ReviewError`. */
function readCreation(body: Buffer, known: KnownReviews, evaluator: Evaluator): Creation | { readonly other: string } {
  const found = known.find(body);
  if (found !== undefined) {
    const { uid, request, alike } = found;
    return { uid, request, read: (namespace) => evaluator.again(alike, namespace) };
  }
  const review = parseReview(body);
  const { uid, object } = review;
  if (!isPodCreation(review)) return { other: uid };
  const request = podCreation(review);
  const read: Creation['read'] = (namespace, atOnce) => {
    const alike = evaluator.read(object, namespace);
    if (atOnce && !(alike instanceof Error)) known.keep(body, uid, { request, alike });
    return alike;
  };
  return { uid, request, read };
}

/**
 * Answers one AdmissionReview with the text of another: `allowed: true` whatever happens inside. Throws `ReviewError` where the
 * body is not an AdmissionReview v1. `elapsed`: milliseconds since the request came in. `trace`: the id of its trace.
 */
export type Mutate = (body: Buffer, query: unknown, elapsed: number, trace?: string) => string | Promise<string>;

export function createMutate(options: MutateOptions): Mutate {
  const sayings = new WeakMap<Decided, Said>();
  const said = (decided: Decided): Said => {
    let saying = sayings.get(decided);
    if (saying === undefined) sayings.set(decided, (saying = sayingOf(decided, options)));
    return saying;
  };
  const lookupBudget = createLookupBudget(options.budget);
  const known = createKnownReviews(() => performance.now());
  const otherRequest = { mode: 'off', decision: encodeDecision('NotPodCreation', [], []) };
  const passedBy = prepareResponse({ patch: [], auditAnnotations: otherRequest, warnings: [] });
  const admitted = prepareResponse({ patch: [], warnings: [] });
  const asItIs = ({ uid, request: { namespace } }: Creation, error: unknown): string => {
    options.metrics.failed();
    options.log.line('error')?.error({ err: error, uid, namespace }, 'the Pod is admitted as it is');
    return admitted(uid);
  };
  return (body, query, elapsed, trace) => {
    const creation = readCreation(body, known, options.evaluator);
    if ('other' in creation) {
      options.metrics.passedBy();
      return passedBy(creation.other);
    }
    try {
      const budget = lookupBudget(query, elapsed);
      const answering = { creation, budget, started: performance.now(), said, trace };
      const decided = decidePod(creation, budget, options);
      if (!(decided instanceof Promise)) return answerPod(answering, decided, options);
      return decided
        .then((one) => answerPod(answering, one, options))
        .catch((error: unknown) => asItIs(creation, error));
    } catch (error) {
      return asItIs(creation, error);
    }
  };
}

/** Kept back for the way to the API server and for the answer itself: a quarter, at most half a second. */
const margin = (timeout: number): number => Math.min(500, timeout / 4);

/** Milliseconds a look-up may take. `elapsed`: milliseconds since the request came in. */
type LookupBudget = (query: unknown, elapsed: number) => number;

/**
 * The configured budget (milliseconds), or less where the API server's own deadline, which it puts into the URL
 * (`/mutate?timeout=5s`), leaves less.
 */
function createLookupBudget(configured: number): LookupBudget {
  const allowedBy = (text: unknown): number => {
    const timeout = typeof text === 'string' ? parseDuration(text) : undefined;
    return timeout === undefined ? configured : Math.min(configured, timeout - margin(timeout));
  };
  // An API server says the same each time.
  let last: { readonly text: unknown; readonly allowed: number } = { text: undefined, allowed: configured };
  return (query, elapsed) => {
    const text = typeof query === 'object' && query !== null && 'timeout' in query ? query.timeout : undefined;
    if (text !== last.text) last = { text, allowed: allowedBy(text) };
    return Math.max(0, last.allowed - elapsed);
  };
}

const TRACE_PARENT = /^[\da-f]{2}-(?!0{32})([\da-f]{32})-[\da-f]{16}-/;

/** The trace's id of a `traceparent` header (W3C Trace Context 3.2.2), which an API server sends where it traces requests. */
export function traceIdOf(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === 'string' ? TRACE_PARENT.exec(header)?.[1] : undefined;
}
