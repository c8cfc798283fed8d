import type { PodView } from '../../policy/model.ts';
import { shellWord } from '../../util/text.ts';
import type { DecidedGroup } from '../decided.ts';
import type { Finding, FindingCode, Severity } from '../report/report.ts';
import type { Owner } from '../scan/scanned.ts';

/** A finding without its place. If `container` is undefined it concerns the whole Pod. */
export interface FindingDraft {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly container?: string;
  readonly what: string;
  readonly why: string;
  readonly change: string;
}

export function findingOf({ group: { owner, pods } }: DecidedGroup, { container, ...draft }: FindingDraft): Finding {
  const { code, severity, what, why, change } = draft;
  return { code, severity, where: { ...owner, container: container ?? null, pods }, what, why, change };
}

/** Path of the Pod's spec by kind; `spec.template.spec` for all other kinds. */
const POD_SPECS: Readonly<Record<string, string>> = { Pod: 'spec', CronJob: 'spec.jobTemplate.spec.template.spec' };

/** `Deployment shop/storefront`. */
export const objectName = ({ kind, namespace, name }: Owner): string => `${kind} ${namespace}/${name}`;

/** `spec.template.spec.dnsConfig of Deployment shop/storefront`. */
export const fieldOf = (owner: Owner, field: string): string =>
  `${POD_SPECS[owner.kind] ?? 'spec.template.spec'}.${field} of ${objectName(owner)}`;

const FIND_INJECTOR =
  'find what injects it (kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies) and keep it from';

/** Reports whether an option, or its absence, does not come from the workload's template. */
function isInjected({ pod, group: { template } }: DecidedGroup, name: string): boolean {
  if (template === undefined || template.dnsConfig.options.some((option) => option.name === name)) return false;
  return pod.dnsConfig.options.some((option) => option.name === name) || pod.dnsPolicy !== template.dnsPolicy;
}

/**
 * Says where to change an option: in the workload's template if that has the option, else in whatever injects it. `edit` is the
 * change to make, for example `Remove timeout`.
 */
export function optionChange(group: DecidedGroup, name: string, edit: string): string {
  const { owner } = group.group;
  if (isInjected(group, name)) {
    return `The template does not say it: ${FIND_INJECTOR} namespace ${owner.namespace}, then recreate the Pods.`;
  }
  const again = owner.kind === 'Pod' ? ' and recreate the Pod' : '';
  return `${edit} (${fieldOf(owner, 'dnsConfig.options')})${again}.`;
}

/** Like {@link optionChange}, for nameservers and searches. */
export function fieldChange(
  { group }: DecidedGroup,
  field: 'nameservers' | 'searches' | 'options',
  edit: string,
): string {
  const { owner, template } = group;
  if (template !== undefined && template.dnsConfig[field].length === 0) {
    return `The template does not say it: ${FIND_INJECTOR} namespace ${owner.namespace}, then recreate the Pods.`;
  }
  const again = owner.kind === 'Pod' ? ' and recreate the Pod' : '';
  return `${edit} (${fieldOf(owner, `dnsConfig.${field}`)})${again}.`;
}

/** Returns the command that recreates the Pods of a workload, or what else to do. */
export function restart({ kind, namespace, name }: Owner): string {
  if (kind === 'Deployment' || kind === 'StatefulSet' || kind === 'DaemonSet') {
    return `kubectl -n ${shellWord(namespace)} rollout restart ${shellWord(`${kind.toLowerCase()}/${name}`)}`;
  }
  if (kind === 'CronJob' || kind === 'Job') return `Nothing: the next run of ${objectName({ kind, namespace, name })}.`;
  return `Recreate the Pods of ${objectName({ kind, namespace, name })}.`;
}

/** Returns the value of an option; undefined if it is not set. The last occurrence wins, as in resolvers and the kubelet. */
export function optionValue(options: readonly string[], name: string): string | undefined {
  return options.findLast((option) => option.startsWith(`${name}:`))?.slice(name.length + 1);
}

/** Reports whether the Pod uses the node's own resolv.conf instead of the cluster DNS. */
export function usesNodeFile({ dnsPolicy, hostNetwork }: PodView): boolean {
  return dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork);
}
