import { performance } from 'node:perf_hooks';

import { parseDuration } from '../config/options.ts';
import { encodeDecision } from '../policy/annotations.ts';
import { toldMessage } from '../policy/decide.ts';
import type { Decision, NamespaceView, ToldDecision } from '../policy/model.ts';
import { REASONS } from '../policy/reasons.ts';
import { resolverName } from '../policy/verdict.ts';
import type { LineLog } from '../telemetry/log-limits.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Span, Tracer } from '../telemetry/tracing.ts';
import { beforeAbort } from '../util/abort.ts';
import { asObject } from '../util/json.ts';
import { evaluateBy, type Evaluate, type Evaluation, type Evaluator } from './evaluate.ts';
import { type AdmissionRequest, isPodCreation, parseReview, prepareResponse } from './review.ts';
import { createTemplateCache } from './template-cache.ts';

/** Where a namespace's labels come from. `cluster/` reads them from the API. */
export interface Namespaces {
  /** Rejects if they cannot be read. */
  get(name: string): NamespaceView | Promise<NamespaceView>;
}

export interface MutateOptions {
  /** `createMutate` remembers what it decides for the Pods of a template. */
  readonly evaluator: Evaluator;
  readonly namespaces: Namespaces;
  /** Milliseconds. */
  readonly budget: number;
  /** Whether to tell the user what was decided, not only what is wrong with an annotation. */
  readonly warnings: boolean;
  /** Whether callers have shown a client certificate. Others are not told what look-ups said. */
  readonly verified: boolean;
  readonly metrics: Metrics;
  readonly log: LineLog;
  /** Absent: nobody asks for traces. */
  readonly tracer?: Tracer;
  /** Called for each decision on a Pod, dry runs aside. Must return at once and never throw. */
  readonly onDecided?: (told: ToldDecision) => void;
}

const MOST_LOGGED = 8;
const MOST_MESSAGE = 1000;
/** No name in Kubernetes is longer (RFC 1123 subdomain), but any caller may send a review. */
const MOST_NAME = 253;
/** Milliseconds beyond the budget after which an answer counts as late. */
const LATE_MS = 100;

/** A Pod being created. */
interface Creation {
  readonly uid: string;
  readonly object: unknown;
  readonly namespace: string;
  /** Its name, or what it is generated from. */
  readonly pod: string;
  readonly dryRun: boolean;
  /** `metadata.ownerReferences`, as the request has them. */
  readonly owners: unknown;
}

function creationOf({ uid, object, ...request }: AdmissionRequest): Creation {
  const { name, generateName, ownerReferences: owners } = asObject(asObject(object)['metadata']);
  const pod = request.name || name || generateName;
  return {
    uid,
    object,
    // `object.metadata.namespace` may be empty at admission.
    namespace: (request.namespace ?? '').slice(0, MOST_NAME),
    pod: typeof pod === 'string' ? pod.slice(0, MOST_NAME) : '',
    dryRun: request.dryRun === true,
    owners,
  };
}

function decisionWarnings(decision: Decision, message: string, tell: boolean): string[] {
  if (!tell || decision.mode === 'off') return [...decision.warnings];
  const told = decision.remedy.length === 0 ? 'nothing' : decision.remedy.join(' and ');
  const verb = decision.mode === 'audit' ? 'would apply' : 'applied';
  return [...decision.warnings, `${verb} ${told} (${decision.reason}): ${message}`];
}

function resolverCounts(decision: Decision): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const container of decision.containers) {
    const name = resolverName(container);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Returns the evidence by container, of the first few: a log line stays short whatever a Pod holds. */
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

/** How an evaluation is reported: the same for all Pods that got it. */
interface Report {
  /** Of its log line: JSON without its braces. */
  readonly fields: string;
  readonly message: string;
  readonly count: (seconds: number) => void;
  readonly response: (uid: string) => string;
}

function reportOf({ decision, patch }: Decided, { warnings: tell, verified, metrics }: MutateOptions): Report {
  const { mode, reason, remedy, containers } = decision;
  const message = decision.message.slice(0, MOST_MESSAGE);
  const told = toldMessage(decision, verified);
  const decided = encodeDecision(reason, remedy, containers);
  const auditAnnotations = { mode, decision: decided, message: told.slice(0, MOST_MESSAGE) };
  const warnings = decisionWarnings(decision, told, tell);
  const resolvers = resolverCounts(decision);
  const fields = { mode, reason, remedy, resolvers, evidence: evidence(decision), patched: patch.length > 0 };
  return {
    fields: JSON.stringify(fields).slice(1, -1),
    message,
    count: metrics.decided(decision),
    response: prepareResponse({ patch, auditAnnotations, warnings }),
  };
}

type Decided = Pick<Evaluation, 'decision' | 'patch'> & { readonly unreadable?: unknown };

/** Leaves the Pod alone: a namespace that cannot be read may be labelled `off` or `audit`. */
function namespaceUnknown(unreadable: unknown): Decided {
  const reason = 'NamespaceUnknown';
  const decision = { mode: 'off', reason, message: REASONS[reason], remedy: [], containers: [], warnings: [] } as const;
  return { decision, patch: [], unreadable };
}

interface Deciding {
  readonly evaluate: Evaluate;
  readonly namespaces: Namespaces;
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

/** Returns no promise if nothing has to be waited for, as for nearly all Pods. */
function decidePod(
  creation: Creation,
  { budget, span }: Pick<Answering, 'budget' | 'span'>,
  options: Deciding,
): Decided | Promise<Decided> {
  const { object, namespace: name, dryRun } = creation;
  const found = options.namespaces.get(name);
  const decide = (namespace: NamespaceView, budgetMs: number): Decided | Promise<Decided> =>
    options.evaluate(object, namespace, { budgetMs, dryRun, span });
  return found instanceof Promise ? decideInTime(found, name, budget, decide) : decide(found, budget);
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
  /** The id of the trace that the request is part of. */
  readonly trace: string | undefined;
  readonly span: Span | undefined;
  readonly reportOf: (decided: Decided) => Report;
}

/** Starts the span of a review. */
const startSpan = (tracer: Tracer, { namespace, dryRun }: Creation, parent: string | undefined): Span =>
  tracer.start('admit Pod', {
    kind: 'server',
    parent,
    attributes: { 'k8s.namespace.name': namespace, 'libc_dns.dry_run': dryRun },
  });

function endSpan(span: Span, { decision, patch, unreadable }: Decided): void {
  const { mode, reason, remedy } = decision;
  span.set({ 'libc_dns.mode': mode, 'libc_dns.reason': reason, 'libc_dns.remedy': remedy });
  span.set({ 'libc_dns.patched': patch.length > 0 });
  if (unreadable !== undefined) span.fail('namespace-unreadable');
  span.end();
}

/** Counts and logs a decision, and returns the answer to the API server. */
function answerPod(answering: Answering, decided: Decided, options: MutateOptions): string {
  const { creation, started, budget, trace } = answering;
  const { decision, unreadable } = decided;
  const duration = performance.now() - started;
  const { uid, namespace, pod, dryRun, owners } = creation;
  if (!dryRun) options.onDecided?.({ owners, namespace, decision });
  const { fields, message, count, response } = answering.reportOf(decided);
  count(duration / 1000);
  if (answering.span !== undefined) endSpan(answering.span, decided);
  if (duration > budget + LATE_MS) options.metrics.service.late();
  const level = levelOf(decided);
  const line = options.log.line(level);
  if (line !== undefined) {
    const named = JSON.stringify({ uid, namespace, pod }).slice(1, -1);
    const ms = Math.round(duration * 100) / 100;
    const traced = trace === undefined ? '' : `,"traceId":"${trace}"`;
    const text = `${named},${fields},"dryRun":${dryRun},"ms":${ms}${traced}`;
    if (unreadable === undefined) line.text(level, text, message);
    else line[level]({ ...(JSON.parse(`{${text}}`) as object), err: unreadable }, message);
  }
  return response(uid);
}

/**
 * Answers one AdmissionReview with the text of another: `allowed: true` whatever happens inside. Throws `ReviewError` if the body is
 * not an AdmissionReview v1. `url`: path and query, for the API server's deadline. `elapsed`: milliseconds since the request came in.
 * `traceParent`: the header of that name.
 */
export type Mutate = (
  body: Buffer,
  url: string,
  elapsed: number,
  traceParent?: string | readonly string[],
) => string | Promise<string>;

export function createMutate(options: MutateOptions): Mutate {
  const reports = new WeakMap<Decided, Report>();
  const rememberedReport = (decided: Decided): Report => {
    let report = reports.get(decided);
    if (report === undefined) reports.set(decided, (report = reportOf(decided, options)));
    return report;
  };
  const lookupBudget = createLookupBudget(options.budget);
  const deciding = {
    evaluate: evaluateBy(createTemplateCache(options.evaluator)),
    namespaces: options.namespaces,
  };
  const notPodCreation = { mode: 'off', decision: encodeDecision('NotPodCreation', [], []) };
  const passedBy = prepareResponse({ patch: [], auditAnnotations: notPodCreation, warnings: [] });
  const admitted = prepareResponse({ patch: [], warnings: [] });
  const unchanged = ({ uid, namespace }: Creation, error: unknown, span?: Span): string => {
    options.metrics.failed();
    span?.fail('internal');
    span?.end();
    options.log.line('error')?.error({ err: error, uid, namespace }, 'the Pod is admitted as it is');
    return admitted(uid);
  };
  return (body, url, elapsed, traceParent) => {
    const request = parseReview(body);
    if (!isPodCreation(request)) {
      options.metrics.passedBy();
      return passedBy(request.uid);
    }
    const creation = creationOf(request);
    const parent = typeof traceParent === 'string' ? traceParent : undefined;
    const span = options.tracer && startSpan(options.tracer, creation, parent);
    const trace = traceIdOf(parent) ?? span?.traceId;
    try {
      const budget = lookupBudget(url, elapsed);
      const answering = { creation, started: performance.now(), budget, trace, span, reportOf: rememberedReport };
      const decided = decidePod(creation, answering, deciding);
      if (!(decided instanceof Promise)) return answerPod(answering, decided, options);
      return decided
        .then((one) => answerPod(answering, one, options))
        .catch((error: unknown) => unchanged(creation, error, span));
    } catch (error) {
      return unchanged(creation, error, span);
    }
  };
}

/** Returns the milliseconds kept for the answer and its way to the API server: a quarter of `timeout`, at most half a second. */
const margin = (timeout: number): number => Math.min(500, timeout / 4);

/** Returns the milliseconds that a look-up may take. `elapsed`: milliseconds since the request came in. */
type LookupBudget = (url: string, elapsed: number) => number;

/** Takes the configured budget (milliseconds), or less if the API server's deadline in the URL leaves less (`/mutate?timeout=5s`). */
function createLookupBudget(configured: number): LookupBudget {
  const allowedBy = (url: string): number => {
    const text = new URLSearchParams(url.slice(url.indexOf('?') + 1)).get('timeout');
    const timeout = text === null ? undefined : parseDuration(text);
    return timeout === undefined ? configured : Math.min(configured, timeout - margin(timeout));
  };
  // An API server sends the same URL each time.
  let last = { url: '', allowed: configured };
  return (url, elapsed) => {
    if (url !== last.url) last = { url, allowed: allowedBy(url) };
    return Math.max(0, last.allowed - elapsed);
  };
}

const TRACE_PARENT = /^[\da-f]{2}-(?!0{32})([\da-f]{32})-[\da-f]{16}-/;

/** Returns the trace id of a `traceparent` header (W3C Trace Context 3.2.2). API servers that trace requests send one. */
const traceIdOf = (header: string | undefined): string | undefined =>
  header === undefined ? undefined : TRACE_PARENT.exec(header)?.[1];
