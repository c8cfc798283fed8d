import type { PodView } from '../../policy/model.ts';
import { shellWord } from '../../util/text.ts';
import type { DecidedGroup } from '../decided.ts';
import type { Finding, FindingCode, Severity } from '../report/report.ts';
import type { Owner } from '../scan/scanned.ts';

/** The sentences of a finding; `container` undefined: the whole Pod. */
export interface Said {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly container?: string;
  readonly what: string;
  readonly why: string;
  readonly change: string;
}

export function findingOf({ group: { owner, pods } }: DecidedGroup, { container, ...said }: Said): Finding {
  const { code, severity, what, why, change } = said;
  return { code, severity, where: { ...owner, container: container ?? null, pods }, what, why, change };
}

const TEMPLATES: Readonly<Record<string, string>> = { Pod: 'spec', CronJob: 'spec.jobTemplate.spec.template.spec' };

/** `Deployment shop/storefront`. */
export const objectName = ({ kind, namespace, name }: Owner): string => `${kind} ${namespace}/${name}`;

/** `spec.template.spec.dnsConfig of Deployment shop/storefront`. */
export const fieldOf = (owner: Owner, field: string): string =>
  `${TEMPLATES[owner.kind] ?? 'spec.template.spec'}.${field} of ${objectName(owner)}`;

const FIND_INJECTOR =
  'find what injects it (kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies) and keep it from';

/** Whether an option, or the lack of it, comes from elsewhere than the workload's template. */
function isInjected({ pod, group: { template } }: DecidedGroup, name: string): boolean {
  if (template === undefined || template.dnsConfig.options.some((option) => option.name === name)) return false;
  return pod.dnsConfig.options.some((option) => option.name === name) || pod.dnsPolicy !== template.dnsPolicy;
}

/**
 * Where an option is to be changed: in the workload's template if it has it, else where it is injected. `edit` is what to do to
 * the field, such as `remove timeout`.
 */
export function optionChange(group: DecidedGroup, name: string, edit: string): string {
  const { owner } = group.group;
  if (isInjected(group, name)) {
    return `The template does not say it: ${FIND_INJECTOR} namespace ${owner.namespace}, then create the Pods anew.`;
  }
  const again = owner.kind === 'Pod' ? ' and create the Pod anew' : '';
  return `${edit} in ${fieldOf(owner, 'dnsConfig.options')}${again}.`;
}

/** The same for nameservers, searches and dnsPolicy. */
export function fieldChange({ group }: DecidedGroup, field: 'nameservers' | 'searches', edit: string): string {
  const { owner, template } = group;
  if (template !== undefined && template.dnsConfig[field].length === 0) {
    return `The template does not say it: ${FIND_INJECTOR} namespace ${owner.namespace}, then create the Pods anew.`;
  }
  const again = owner.kind === 'Pod' ? ' and create the Pod anew' : '';
  return `${edit} in ${fieldOf(owner, `dnsConfig.${field}`)}${again}.`;
}

/** The command that creates the Pods of a workload anew. */
export function restart({ kind, namespace, name }: Owner): string {
  if (kind === 'Deployment' || kind === 'StatefulSet' || kind === 'DaemonSet') {
    return `kubectl -n ${shellWord(namespace)} rollout restart ${shellWord(`${kind.toLowerCase()}/${name}`)}`;
  }
  if (kind === 'CronJob' || kind === 'Job') return `Nothing: the next run of ${objectName({ kind, namespace, name })}.`;
  return `Create the Pods of ${objectName({ kind, namespace, name })} anew.`;
}

/** The value of an option: the last of several, as resolvers and the kubelet read them. */
export function optionValue(options: readonly string[], name: string): string | undefined {
  return options.findLast((option) => option.startsWith(`${name}:`))?.slice(name.length + 1);
}

/** Whether the Pod asks the cluster DNS at all, rather than what the node's own file names. */
export function usesNodeFile({ dnsPolicy, hostNetwork }: PodView): boolean {
  return dnsPolicy === 'Default' || (dnsPolicy === 'ClusterFirst' && hostNetwork);
}
