import { isObject, type Json } from '../../util/json.ts';

/** `maybe` if a fact is missing or a rule cannot be read. */
export type Match = 'yes' | 'maybe' | 'no';

/** Returns `no` if any is `no`, else `maybe` if any is `maybe`, else `yes`. */
export function every(matches: readonly Match[]): Match {
  if (matches.includes('no')) return 'no';
  return matches.includes('maybe') ? 'maybe' : 'yes';
}

/** Returns `yes` if any is `yes`, else `maybe` if any is `maybe`, else `no`. */
export function some(matches: readonly Match[]): Match {
  if (matches.includes('yes')) return 'yes';
  return matches.includes('maybe') ? 'maybe' : 'no';
}

const OPPOSITE = { yes: 'no', maybe: 'maybe', no: 'yes' } as const;

export const not = (match: Match): Match => OPPOSITE[match];

export const matchIf = (condition: boolean): Match => (condition ? 'yes' : 'no');

/** Returns the value of a label, null if the object does not have it, or undefined if that is unknown. */
export type LabelOf = (key: string) => string | null | undefined;

/** Reads labels of the API. With `complete: false` there may be others that are unknown. */
export function labelsOf(labels: unknown, { complete = true } = {}): LabelOf {
  const known = mapOf(labels ?? {});
  return (key) => {
    if (known === undefined) return undefined;
    if (!Object.hasOwn(known, key)) return complete ? null : undefined;
    const value = known[key];
    return typeof value === 'string' ? value : undefined;
  };
}

/** Labels that controllers add to the Pods of a template. Most have another value in each Pod. */
export const CONTROLLER_LABELS: ReadonlySet<string> = new Set([
  'pod-template-hash',
  'controller-revision-hash',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/job-completion-index',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'controller-uid',
  'job-name',
  'pod-template-generation',
]);

/** Reads the labels of a Pod template. What controllers add to its Pods is unknown. */
export function templateLabelsOf(labels: unknown): LabelOf {
  const known = labelsOf(labels);
  return (key) => (CONTROLLER_LABELS.has(key) ? undefined : known(key));
}

/** Reports whether a label has one of `values`. */
export function hasOneOf(value: ReturnType<LabelOf>, values: readonly unknown[]): Match {
  if (value === undefined) return 'maybe';
  return matchIf(value !== null && values.includes(value));
}

/** Reports whether the object has the label at all. */
export const exists = (value: ReturnType<LabelOf>): Match => (value === undefined ? 'maybe' : matchIf(value !== null));

/** Returns the value if it is an object and not a list; else undefined. */
export const mapOf = (value: unknown): Json | undefined =>
  isObject(value) && !Array.isArray(value) ? value : undefined;

/** Returns the list, which is empty if the field is absent; undefined if the value is no list. */
export function listOf(value: unknown): readonly unknown[] | undefined {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : undefined;
}

/** Labels and expressions of one selector. A larger one is uncertain, so that matching takes bounded time. */
const MOST_TERMS = 100;

/** Matches an object's labels. */
type Selector = (labels: LabelOf) => Match;

const UNREADABLE: Selector = () => 'maybe';

function expressionOf(expression: unknown): Selector {
  const { key, operator, values } = mapOf(expression) ?? {};
  const given = listOf(values);
  if (typeof key !== 'string' || given === undefined) return UNREADABLE;
  switch (operator) {
    case 'In':
      return (labels) => hasOneOf(labels(key), given);
    case 'NotIn':
      return (labels) => not(hasOneOf(labels(key), given));
    case 'Exists':
      return (labels) => exists(labels(key));
    case 'DoesNotExist':
      return (labels) => not(exists(labels(key)));
    default:
      return UNREADABLE;
  }
}

/** Reads a meta/v1 LabelSelector: all of its terms must match; an empty one selects everything. */
export function selectorOf(selector: unknown): Selector {
  const given = mapOf(selector);
  const labels = mapOf(given?.['matchLabels'] ?? {});
  const expressions = listOf(given?.['matchExpressions']);
  if (given === undefined || labels === undefined || expressions === undefined) return UNREADABLE;
  const pairs = Object.entries(labels);
  if (pairs.length + expressions.length > MOST_TERMS) return UNREADABLE;
  const terms = [
    ...pairs.map(([key, value]): Selector =>
      typeof value === 'string' ? (labelOf) => hasOneOf(labelOf(key), [value]) : UNREADABLE,
    ),
    ...expressions.map(expressionOf),
  ];
  return (labelOf) => every(terms.map((term) => term(labelOf)));
}

/** Returns the keys that a LabelSelector names. */
export function keysOf(selector: unknown): readonly string[] {
  const { matchLabels, matchExpressions } = mapOf(selector) ?? {};
  const expressed = (listOf(matchExpressions) ?? []).map((one) => mapOf(one)?.['key']);
  return [...Object.keys(mapOf(matchLabels) ?? {}), ...expressed.filter((key) => typeof key === 'string')];
}
