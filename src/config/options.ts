import leven from 'leven';

import type { DnsOption } from '../policy/model.ts';

/** Smallest `ndots` that may replace the kubelet's `ndots:5`: a smaller one breaks `svc.ns` names on musl. */
const LEAST_NDOTS = 5;

/** Options of resolv.conf(5) that take a number, with the caps of glibc's res_init.c. */
const NUMBERS: Readonly<Record<string, { least: number; most: number; why: string }>> = {
  ndots: { least: LEAST_NDOTS, most: 15, why: 'ndots is never lowered below the 5 that the kubelet writes' },
  timeout: { least: 1, most: 30, why: 'timeout:0 makes musl fail every look-up at once' },
  attempts: { least: 1, most: 10, why: 'attempts:0 crashes every musl program that resolves a name' },
};

/** Options of resolv.conf(5), glibc 2.42, that take no value. */
const SWITCHES = [
  'debug',
  'rotate',
  'no-aaaa',
  'no-check-names',
  'inet6',
  'edns0',
  'single-request',
  'single-request-reopen',
  'no-tld-query',
  'use-vc',
  'no-reload',
  'trust-ad',
  'strict-error',
];

/**
 * Parses an option of resolv.conf (`use-vc`, `timeout:5`). Returns a message if it is unknown or would break a
 * resolver.
 */
export function parseResolverOption(text: string): DnsOption | string {
  const colon = text.indexOf(':');
  const name = colon === -1 ? text : text.slice(0, colon);
  const value = colon === -1 ? undefined : text.slice(colon + 1);
  if (Object.hasOwn(NUMBERS, name)) return badNumber(name, value) ?? { name, value: String(Number(value)) };
  if (SWITCHES.includes(name)) return value === undefined ? { name } : `${name} takes no value`;
  const near = nearest(name, [...Object.keys(NUMBERS), ...SWITCHES]);
  return `${JSON.stringify(name)} is no option of resolv.conf${near === undefined ? '' : `: did you mean ${near}?`}`;
}

function badNumber(name: string, value: string | undefined): string | undefined {
  const rule = NUMBERS[name];
  if (rule === undefined) return undefined;
  const wanted = `${name} takes a whole number from ${rule.least} to ${rule.most}: ${rule.why}`;
  if (value === undefined || !/^\d{1,4}$/.test(value)) return wanted;
  return Number(value) < rule.least || Number(value) > rule.most ? wanted : undefined;
}

/**
 * The {@link SWITCHES} that Go knows. With any other one a Go program resolves through its libc, if it is linked to one
 * (net/dnsconfig_unix.go).
 */
const KNOWN_TO_GO = ['rotate', 'edns0', 'single-request', 'single-request-reopen', 'use-vc', 'no-reload', 'trust-ad'];

/** Reports whether Go's own resolver knows an option that {@link parseResolverOption} has read. */
export const isKnownToGo = ({ name }: DnsOption): boolean => Object.hasOwn(NUMBERS, name) || KNOWN_TO_GO.includes(name);

/** Returns the known word nearest to `word`; undefined if none is near enough for a typing error. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known.map((item) => ({ item, distance: leven(word.toLowerCase(), item.toLowerCase()) }));
  const best = ranked.toSorted((a, b) => a.distance - b.distance)[0];
  return best !== undefined && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.item : undefined;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Returns the milliseconds of a duration in Go's notation (`1500ms`, `10m`, `1m30s`); undefined if it is invalid. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/gy)) {
    total += Number(amount) * (UNITS[unit ?? ''] ?? 0);
  }
  return Math.round(total);
}

/** Formats milliseconds in the largest unit that divides them: 600000 is `10m`, 1500 is `1500ms`. */
export function formatDuration(milliseconds: number): string {
  for (const unit of ['h', 'm', 's']) {
    const size = UNITS[unit] ?? 1;
    if (milliseconds > 0 && milliseconds % size === 0) return `${milliseconds / size}${unit}`;
  }
  return `${milliseconds}ms`;
}

const QUANTITY_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** Returns the value of a Kubernetes quantity (`100m`, `64Mi`), in cores or bytes; undefined if it is invalid or has another unit. */
export function parseQuantity(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d{1,15}(?:\.\d{1,3})?)(m|[kMG]|[KMG]i)?$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * (QUANTITY_UNITS[unit] ?? 1);
}

/** DaemonSets in a namespace, by one of three. */
export type DaemonSetChoice = { readonly namespace: string } & (
  | { readonly name: string }
  /** A name in which `*` stands for any characters. */
  | { readonly pattern: string }
  | { readonly labelSelector: string }
);

/** Matches what {@link parseDaemonSets} takes. */
export const DAEMON_SETS = /^[^/\s]+\/([^/\s=]+|[-\w./]+=[-\w.]*(,[-\w./]+=[-\w.]*)*)$/;

/** Parses `namespace/name`, `namespace/na*me` or `namespace/label=value,…`; `text` matches {@link DAEMON_SETS}. */
export function parseDaemonSets(text: string): DaemonSetChoice {
  const slash = text.indexOf('/');
  const [namespace, which] = [text.slice(0, slash), text.slice(slash + 1)];
  if (which.includes('=')) return { namespace, labelSelector: which };
  return which.includes('*') ? { namespace, pattern: which } : { namespace, name: which };
}
