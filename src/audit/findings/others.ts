import type { DnsConfig } from '../../policy/model.ts';
import type { DecidedGroup, FindingContext } from '../decided.ts';
import { type FindingDraft, objectName, restart } from './places.ts';

const optionTexts = ({ options }: DnsConfig): string[] =>
  options.map(({ name, value }) => (value === undefined || value === '' ? name : `${name}:${value}`));

const added = (a: readonly string[], b: readonly string[]): string[] => a.filter((item) => !b.includes(item));

/** Describes how the Pod's DNS settings (`now`) differ from its template's (`before`). */
function differences(now: DecidedGroup['pod'], before: NonNullable<DecidedGroup['group']['template']>): string[] {
  const parts = [
    ...added(optionTexts(now.dnsConfig), optionTexts(before.dnsConfig)),
    ...added(now.dnsConfig.nameservers, before.dnsConfig.nameservers).map((address) => `nameserver ${address}`),
    ...added(now.dnsConfig.searches, before.dnsConfig.searches).map((search) => `search ${search}`),
    ...added(optionTexts(before.dnsConfig), optionTexts(now.dnsConfig)).map((option) => `without ${option}`),
    ...added(before.dnsConfig.nameservers, now.dnsConfig.nameservers).map((address) => `without ${address}`),
    ...added(before.dnsConfig.searches, now.dnsConfig.searches).map((search) => `without ${search}`),
  ];
  return now.dnsPolicy === before.dnsPolicy ? parts : [`dnsPolicy ${now.dnsPolicy}`, ...parts];
}

/** Returns a finding if another injector changed the Pods' DNS settings: the Pods differ from their template. */
export function injectedFindings({ group, pod }: DecidedGroup, { applied }: FindingContext): FindingDraft[] {
  const { template, owner } = group;
  if (template === undefined || applied !== undefined) return [];
  const different = differences(pod, template);
  if (different.length === 0) return [];
  const shown = different.slice(0, 8).join(', ');
  return [
    {
      code: 'InjectedByOthers',
      severity: 'warning',
      what: `The Pods have DNS settings that the template of ${objectName(owner)} lacks: ${shown}.`,
      why: 'Another injector sets them for every Pod, whatever its resolver, and this webhook keeps what it finds.',
      change: `Find it (kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies), keep it from namespace ${owner.namespace}, then recreate the Pods: ${restart(owner)}`,
    },
  ];
}
