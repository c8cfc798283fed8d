import type { AdmissionRule, Labels, LabelSelector } from '../view/view.ts';

/** Whether a LabelSelector takes these labels (apimachinery labels.Requirement.Matches); an unknown operator takes nothing. */
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

/** Whether the rules name an operation on Pods. */
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
