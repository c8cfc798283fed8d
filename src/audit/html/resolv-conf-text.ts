import { diffArrays } from 'diff';
import { stringify } from 'yaml';

import type { DnsChange, ResolvConf } from '../../policy/model.ts';

function lines({ servers, searches, options }: ResolvConf): string[] {
  const text = servers.map((server) => `nameserver ${server}`);
  if (searches.length > 0) text.push(`search ${searches.join(' ')}`);
  if (options.length > 0) text.push(`options ${options.join(' ')}`);
  return text;
}

function sign({ added, removed }: { readonly added: boolean; readonly removed: boolean }): string {
  if (added) return '+';
  return removed ? '-' : ' ';
}

/** resolv.conf before and after by line: `-` goes, `+` comes, the rest stays. */
export function resolvConfDiff(before: ResolvConf, after: ResolvConf): string {
  const parts = diffArrays(lines(before), lines(after));
  return parts.flatMap((part) => part.value.map((line) => `${sign(part)} ${line}`)).join('\n');
}

/** The change as YAML of a Pod's spec. Options are those to add to what is there; nameservers and searches are whole lists. */
export function changeYaml({ dnsPolicy, nameservers, searches, options }: DnsChange): string {
  const dnsConfig = {
    ...(nameservers && { nameservers }),
    ...(searches && { searches }),
    ...(options.length > 0 && { options }),
  };
  return stringify({ ...(dnsPolicy && { dnsPolicy }), dnsConfig }, { lineWidth: 0 }).trimEnd();
}
