import type { Labels } from '../../kubernetes/objects.ts';
import type { PodView, PolicyConfig } from '../../policy/model.ts';
import { effectiveMode, MODE_LABEL } from '../../policy/scope.ts';
import { ok, type Outcome, type Remark, summarize } from '../check.ts';
import type { AdmissionRule, LabelSelector, WebhookEntry } from '../view/view.ts';
import { listed } from '../../util/text.ts';

interface ScopeEvidence {
  readonly entries: readonly WebhookEntry[];
  readonly config: PolicyConfig;
  readonly namespaces: ReadonlyMap<string, Labels>;
  readonly own: string | undefined;
}

/** Judges whether the registration's selectors and the configuration select the same Pods. */
export function judgeScope({ entries, config, namespaces, own }: ScopeEvidence): Outcome {
  const within = namespacesInScope(namespaces, config, own);
  const data = { scope: config.scope, mode: config.mode, namespaces: namespaces.size, inScope: within };
  const some = within.length === 0 ? 'no namespace' : `${within.length} of ${namespaces.size} namespaces`;
  const fine = `scope ${config.scope}: ${some} in scope${within.length > 0 ? ` (${listed(within)})` : ''}`;
  const wrong = remarks(cases(entries, config));
  if (wrong.length > 0) return summarize(wrong, fine, { data, details: [fine] });
  return ok(fine, { data, ...(within.length === 0 && { advice: [LABEL] }) });
}

const LABEL = {
  text: 'Nothing is patched yet. See what would be done in a namespace, then enforce it (docs/rollout.md):',
  command: `kubectl label namespace NAMESPACE ${MODE_LABEL}=audit`,
};

/** Returns the namespaces whose unlabelled Pods are in scope. */
function namespacesInScope(
  namespaces: ReadonlyMap<string, Labels>,
  config: PolicyConfig,
  own: string | undefined,
): string[] {
  return [...namespaces]
    .filter(([name, labels]) => effectiveMode(podWith(undefined), { name, labels }, config, own).mode !== 'off')
    .map(([name]) => name)
    .toSorted();
}

function remarks(all: readonly Case[]): Remark[] {
  const missed = all.filter(({ inScope, calls }) => inScope && calls === 0);
  const wasted = all.filter(({ inScope, calls }) => !inScope && calls > 0);
  const twice = all.filter(({ inScope, calls }) => inScope && calls > 1);
  const advice = {
    text: 'Apply the registration of the same release and scope again (helm upgrade, or certs/manifests/registration-*.yaml).',
  };
  return [
    ...(missed.length > 0
      ? [
          {
            status: 'failure',
            text: `the configuration has Pods in scope that the registration does not call for: ${describe(missed)}`,
            advice,
          } as const,
        ]
      : []),
    ...(wasted.length > 0
      ? [
          {
            status: 'warning',
            text: `the registration calls for Pods that the configuration leaves alone: ${describe(wasted)}`,
            advice,
          } as const,
        ]
      : []),
    ...(twice.length > 0
      ? [{ status: 'warning', text: `the registration calls twice for one Pod: ${describe(twice)}`, advice } as const]
      : []),
  ];
}

interface Case {
  readonly namespace: Value;
  readonly pod: Value;
  /** Whether the configuration has the Pod in scope. */
  readonly inScope: boolean;
  /** Number of our entries that match the Pod. */
  readonly calls: number;
}

/** Returns, for every pair of namespace and Pod label, whether the Pod is in scope and how often the API server calls. */
function cases(entries: readonly WebhookEntry[], config: PolicyConfig): Case[] {
  const name = 'any-namespace';
  return VALUES.flatMap((namespace) =>
    VALUES.map((pod) => {
      const labels = { 'kubernetes.io/metadata.name': name, ...labelled(namespace) };
      const called = entries.filter(
        (entry) => selects(entry.namespaceSelector, labels) && selects(entry.objectSelector, labelled(pod)),
      );
      const { mode } = effectiveMode(podWith(pod), { name, labels: labelled(namespace) }, config);
      return { namespace, pod, inScope: mode !== 'off', calls: called.length };
    }),
  );
}

const VALUES = [undefined, 'enforce', 'audit', 'off'] as const;

type Value = (typeof VALUES)[number];

const labelled = (value: Value): Labels => (value === undefined ? {} : { [MODE_LABEL]: value });

const labelText = (value: Value): string => (value === undefined ? 'no label' : value);

/** Only the labels matter for the mode. */
const podWith = (value: Value): PodView => ({ labels: labelled(value) }) as PodView;

const describe = (all: readonly Case[]): string =>
  listed(
    all.map(({ namespace, pod }) => `namespace ${labelText(namespace)} / Pod ${labelText(pod)}`),
    4,
  );

/** Reports whether a LabelSelector matches (apimachinery labels.Requirement.Matches); an unknown operator matches nothing. */
export function selects({ matchLabels, matchExpressions }: LabelSelector, labels: Labels): boolean {
  const has = (key: string): boolean => Object.hasOwn(labels, key);
  return (
    Object.entries(matchLabels).every(([key, value]) => has(key) && labels[key] === value) &&
    matchExpressions.every(({ key, operator, values }) => {
      switch (operator) {
        case 'In':
          return has(key) && values.includes(labels[key] ?? '');
        case 'NotIn':
          return !has(key) || !values.includes(labels[key] ?? '');
        case 'Exists':
          return has(key);
        case 'DoesNotExist':
          return !has(key);
        default:
          return false;
      }
    })
  );
}

const named = (list: readonly string[], word: string): boolean => list.includes('*') || list.includes(word);

/** Reports whether the rules include this operation on Pods. */
export function concernsPods(rules: readonly AdmissionRule[], operation: 'CREATE' | 'UPDATE'): boolean {
  return rules.some(
    ({ apiGroups, operations, resources }) =>
      named(apiGroups, '') &&
      named(operations, operation) &&
      resources.some(
        (resource) => resource === '*' || resource === '*/*' || resource === 'pods' || resource === 'pods/*',
      ),
  );
}
