import { diffArrays } from 'diff';
import { stringify } from 'yaml';

import type { DnsChange, ResolvConf } from '../../policy/model.ts';
import type { Resolver } from '../../policy/verdict.ts';
import { printable } from '../../util/text.ts';
import type { ExposureLevel, Severity } from '../report/report.ts';
import type { Tag, Tone } from './page-data.ts';

/** All resolvers, in the order of charts and legends. */
export const RESOLVERS: readonly Resolver[] = ['glibc', 'musl', 'go', 'other', 'unknown'];

export const EXPOSURE: Readonly<Record<ExposureLevel, Tag>> = {
  yes: { text: 'exposed', tone: 'bad' },
  possible: { text: 'possibly exposed', tone: 'notice' },
  mitigated: { text: 'mitigated', tone: 'quiet' },
  no: { text: 'not exposed', tone: 'good' },
};

export const SEVERITY: Readonly<Record<Severity, Tone>> = { error: 'bad', warning: 'notice', info: 'quiet' };

const format = new Intl.NumberFormat('en');

/** `1,234` */
export const number = (value: number): string => format.format(value);

/** `1 Pod`, `1,234 Pods` */
export const counted = (value: number, one: string, several = `${one}s`): string =>
  `${number(value)} ${value === 1 ? one : several}`;

/** Formats a key of `summary.remedies`: `options+redirect` means both, `none` no change. */
export const remedyWords = (key: string): string => (key === 'none' ? 'no change' : key.replaceAll('+', ' + '));

/** Longer than any real name. Longer text would be slow to lay out, and nobody would read it. */
const LONGEST = 500;

/** Makes untrusted text printable on one line. Cuts it after `longest` characters and then adds the full length. */
export function shown(text: string, longest: number = LONGEST): string {
  const short = printable(text, longest);
  return text.length > longest ? `${short} (${text.length} characters)` : short;
}

/** Like {@link shown}, for text of several lines. */
export function shownLines(text: string, longest: number = LONGEST): string {
  return text
    .split(/\r?\n/, 200)
    .map((line) => shown(line, longest))
    .join('\n');
}

/** Reports whether a text is YAML rather than sentences and commands. */
export const isYaml = (text: string): boolean => /\n\s/.test(text);

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

/** Returns a line diff of two resolv.conf files, with `-`, `+` or a space before each line. */
export function resolvConfDiff(before: ResolvConf, after: ResolvConf): string {
  const parts = diffArrays(lines(before), lines(after));
  return parts.flatMap((part) => part.value.map((line) => `${sign(part)} ${line}`)).join('\n');
}

/** Returns the change as YAML of a Pod's spec. `options` lists only those to add; nameservers and searches are complete. */
export function changeYaml({ dnsPolicy, nameservers, searches, options }: DnsChange): string {
  const dnsConfig = {
    ...(nameservers && { nameservers }),
    ...(searches && { searches }),
    ...(options.length > 0 && { options }),
  };
  return stringify({ ...(dnsPolicy && { dnsPolicy }), dnsConfig }, { lineWidth: 0 }).trimEnd();
}
