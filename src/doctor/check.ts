import { type KubeCall, KubeError } from '../kubernetes/errors.ts';
import { messageOf } from '../util/text.ts';

/** `skipped`: the check could not be made; the outcome says why. */
export type Status = 'ok' | 'warning' | 'failure' | 'skipped';

/** Sections of the output, in this order. */
export const GROUPS = {
  access: 'The cluster',
  fault: 'Is the fault possible here?',
  dns: 'Cluster DNS, from here',
  webhook: 'Is the webhook healthy?',
  surroundings: 'What else has a part in it',
} as const;

export type Group = keyof typeof GROUPS;

/** What to do: a sentence, and a command line if one does it. */
export interface Advice {
  readonly text: string;
  /** For a shell; the reader replaces the words in capitals. */
  readonly command?: string;
}

/** The result of a check. May contain untrusted names: make control characters visible before you show them. */
export interface Outcome {
  readonly status: Status;
  /** What was seen, one sentence without a full stop. */
  readonly seen: string;
  /** Further observations, one line each. */
  readonly details: readonly string[];
  readonly advice: readonly Advice[];
  /** Measurements and names for programs; the keys depend on the check. */
  readonly data: Readonly<Record<string, unknown>>;
}

type More = Partial<Pick<Outcome, 'details' | 'advice' | 'data'>>;

const outcome =
  (status: Status) =>
  (seen: string, { details = [], advice = [], data = {} }: More = {}): Outcome => ({
    status,
    seen,
    details,
    advice,
    data,
  });

export const ok = outcome('ok');
export const warning = outcome('warning');
export const failure = outcome('failure');
export const skipped = outcome('skipped');

const RANK: Readonly<Record<Status, number>> = { skipped: 0, ok: 1, warning: 2, failure: 3 };

/** A single observation of a check; {@link summarize} combines them. */
export interface Remark {
  readonly status: Exclude<Status, 'skipped'>;
  readonly text: string;
  readonly advice?: Advice;
}

/** Returns the worst of the statuses; `ok` for an empty list. */
export function worst(statuses: readonly Status[]): Status {
  return statuses.reduce<Status>((most, status) => (RANK[status] > RANK[most] ? status : most), 'ok');
}

/**
 * Combines remarks into an outcome with the worst status. `seen` becomes the worst remark, with the others as details; if nothing
 * is wrong, it becomes `fine`.
 */
export function summarize(remarks: readonly Remark[], fine: string, more: More = {}): Outcome {
  const bad = remarks
    .filter(({ status }) => status !== 'ok')
    .toSorted((left, right) => RANK[right.status] - RANK[left.status]);
  const notes = remarks.filter(({ status }) => status === 'ok').map(({ text }) => text);
  const [first, ...others] = bad;
  const advice = [...bad, ...remarks.filter(({ status }) => status === 'ok')].flatMap((remark) => remark.advice ?? []);
  return {
    status: worst(remarks.map(({ status }) => status)),
    seen: first?.text ?? fine,
    details: [...others.map(({ text }) => text), ...notes, ...(more.details ?? [])],
    advice: [...advice, ...(more.advice ?? [])],
    data: more.data ?? {},
  };
}

/** What a call to the API server is about (RequestInfo of k8s.io/apiserver). */
interface Asked {
  readonly verb: string;
  /** With the group behind it: `deployments.apps`. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

const VERBS: Readonly<Record<string, string>> = {
  watch: 'watch',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Returns the parts of a resource's path behind its version, and the group; undefined if it is no resource's, as `/version`. */
function resourceParts(path: string): { readonly group: string; readonly place: readonly string[] } | undefined {
  const [root, ...rest] = (path.split('?', 1)[0] ?? '').split('/').slice(1).map(decodeURIComponent);
  if (root === 'api') return { group: '', place: rest.slice(1) };
  const [group = ''] = rest;
  return root === 'apis' ? { group: `.${group}`, place: rest.slice(2) } : undefined;
}

/** Returns what a call is about; undefined if its path is no resource's. */
function askedFor({ method, path }: KubeCall): Asked | undefined {
  const { group, place } = resourceParts(path) ?? { group: '', place: [] };
  const isInside = place[0] === 'namespaces' && place.length > 2;
  const [plural, name, subresource] = isInside ? place.slice(2) : place;
  if (plural === undefined) return undefined;
  const resource = [`${plural}${group}`, ...(subresource === undefined ? [] : [subresource])].join('/');
  const verb = VERBS[method] ?? (name === undefined ? 'list' : 'get');
  return { verb, resource, namespace: isInside ? place[1] : undefined, name };
}

/** Returns a short reason why something could not be read: the missing right, else the object and what is wrong, else the message. */
export function errorText(error: unknown): string {
  const asked = error instanceof KubeError && error.call !== undefined ? askedFor(error.call) : undefined;
  if (!(error instanceof KubeError) || asked === undefined) return messageOf(error);
  const { verb, resource, namespace, name } = asked;
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  if (error.code === 'forbidden') return `may not ${verb} ${resource}${where}`;
  const reason = error.reason ?? error.message;
  if (name === undefined) return `${resource}${where}: ${reason}`;
  return `${resource} ${namespace === undefined ? '' : `${namespace}/`}${name}: ${reason}`;
}
