import { stringify } from 'yaml';

import type { DnsChange, ResolvConf } from '../../policy/model.ts';

function lines({ servers, searches, options }: ResolvConf): string[] {
  const text = servers.map((server) => `nameserver ${server}`);
  if (searches.length > 0) text.push(`search ${searches.join(' ')}`);
  if (options.length > 0) text.push(`options ${options.join(' ')}`);
  return text;
}

/** resolv.conf before and after by line: `-` goes, `+` comes, the rest stays. */
export function resolvConfDiff(before: ResolvConf, after: ResolvConf): string {
  const old = lines(before);
  const now = lines(after);
  const kept = old.filter((line) => now.includes(line)).map((line) => `  ${line}`);
  const gone = old.filter((line) => !now.includes(line)).map((line) => `- ${line}`);
  const come = now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`);
  return [...kept, ...gone, ...come].join('\n');
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
