import { messageOf } from '../util/text.ts';

/** `skipped`: it could not be looked at, with the reason. */
export type Status = 'ok' | 'warning' | 'failure' | 'skipped';

/** Parts of the output, in this order. */
export const GROUPS = {
  access: 'The cluster',
  fault: 'Is the fault possible here?',
  dns: 'Cluster DNS, from here',
  webhook: 'Is the webhook healthy?',
  surroundings: 'What else has a part in it',
} as const;

export type Group = keyof typeof GROUPS;

/** Something to do: a sentence, and a command line where one does it. */
export interface Advice {
  readonly text: string;
  /** To be pasted into a shell; capitals stand for what the reader has to fill in. */
  readonly command?: string;
}

/** What a check came to. Names in it may be other people's: whoever shows them makes control characters visible. */
export interface Outcome {
  readonly status: Status;
  /** What was seen, one sentence without a full stop. */
  readonly seen: string;
  /** More of what was seen, a line each. */
  readonly details: readonly string[];
  readonly advice: readonly Advice[];
  /** Measurements and names for programs; docs/doctor.md has the keys of each check. */
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

/** A single thing that a check has found, before they are put together. */
export interface Remark {
  readonly status: Exclude<Status, 'skipped'>;
  readonly text: string;
  readonly advice?: Advice;
}

/** The worst status of all; `ok` where there are none. */
export function worst(statuses: readonly Status[]): Status {
  return statuses.reduce<Status>((most, status) => (RANK[status] > RANK[most] ? status : most), 'ok');
}

/**
 * Puts remarks together: the worst status; where nothing is wrong `fine` is what was seen, else the worst remark, the
 * others beneath it, each with its advice.
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

/** The first names, and how many more there are. */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

const FORBIDDEN = /cannot (\w+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)")?/;

/** `list nodes`, `get secrets in libc-dns`: the right that an API server's refusal names; undefined for any other text. */
export function missingRight(message: string): string | undefined {
  const [, verb, resource, group = '', namespace] = FORBIDDEN.exec(message.slice(0, 2000)) ?? [];
  if (verb === undefined || resource === undefined) return undefined;
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${namespace === undefined ? '' : ` in ${namespace}`}`;
}

/** Why something could not be read, as short as it is understood. */
export function why(error: unknown): string {
  const message = messageOf(error);
  const right = missingRight(message);
  return right === undefined ? message : `may not ${right}`;
}
