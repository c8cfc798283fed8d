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
  /** Measurements and names for programs; docs/doctor.md lists the keys of each check. */
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

/** Returns the first names, and the number of the rest. */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

const FORBIDDEN = /cannot (\w+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)")?/;

/**
 * Returns the right that an API server's refusal names, such as `list nodes` or `get secrets in libc-dns`; undefined for any
 * other text.
 */
export function missingRight(message: string): string | undefined {
  const [, verb, resource, group = '', namespace] = FORBIDDEN.exec(message.slice(0, 2000)) ?? [];
  if (verb === undefined || resource === undefined) return undefined;
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${namespace === undefined ? '' : ` in ${namespace}`}`;
}

/** Returns a short reason why something could not be read: the missing right, else the error's message, with the object in place of the call. */
export function errorText(error: unknown): string {
  const message = messageOf(error);
  const right = missingRight(message);
  return right === undefined ? message.replaceAll(CALL, namedObject) : `may not ${right}`;
}

/** A call in the message of a `KubeError`: `GET /api/v1/namespaces/shop/pods/web: `. */
const CALL =
  /\b[A-Z]+ \/(?:api|apis\/[^/ ]+)\/[^/ ]+(?:\/namespaces\/(?<namespace>[^/: ]+)(?=\/))?\/(?<resource>[^/?: ]+)(?:\/(?<name>[^/?: ]+))?[^: ]*: /g;

function namedObject(...match: unknown[]): string {
  const { namespace, resource, name } = match.at(-1) as Record<'namespace' | 'resource' | 'name', string | undefined>;
  if (name === undefined) return `${resource}${namespace === undefined ? '' : ` in ${namespace}`}: `;
  return `${resource} ${namespace === undefined ? '' : `${namespace}/`}${name}: `;
}
