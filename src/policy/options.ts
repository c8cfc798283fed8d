import type { ClusterFacts, DnsOption, PolicyConfig, ResolvConf } from './model.ts';
import type { Resolver } from './verdict.ts';

/** musl's default. musl counts `timeout` for the whole look-up: with less it would miss late answers. */
export const MUSL_LEAST_TIMEOUT = 5;

/**
 * Returns the options for resolvers that obey them, which musl does not: the common list first, then those of each
 * resolver.
 */
export function wantedOptions(
  resolvers: ReadonlySet<Resolver>,
  cluster: ClusterFacts,
  config: PolicyConfig,
): DnsOption[] {
  const obedient = [...resolvers].some((resolver) => resolver !== 'musl');
  const common = obedient ? config.glibc.options : [];
  const extra = [...resolvers].toSorted().flatMap((resolver) => config.extraOptions[resolver] ?? []);
  const muslMayBeThere = resolvers.has('musl') || resolvers.has('unknown');
  return [...common, ...extra].filter((option) => {
    if (option.name === 'use-vc') return cluster.dnsOverTcp || !config.glibc.tcpPreflight;
    if (option.name === 'timeout' && muslMayBeThere) return Number(option.value) >= MUSL_LEAST_TIMEOUT;
    return true;
  });
}

/**
 * Returns the options that musl reads: it sends an unanswered query `attempts` times within `timeout` seconds
 * (res_msend.c).
 */
export function muslOptions(config: PolicyConfig): DnsOption[] {
  return [
    { name: 'timeout', value: String(config.musl.timeout) },
    { name: 'attempts', value: String(config.musl.attempts) },
  ];
}

/** Returns the `ndots` option that the kubelet would write; empty if it would write none. */
export function kubeletNdots(kubelet: ResolvConf): DnsOption[] {
  const ndots = kubelet.options.find((option) => option.startsWith('ndots:'));
  return ndots === undefined ? [] : [{ name: 'ndots', value: ndots.slice('ndots:'.length) }];
}

/**
 * Returns the options of `wanted` whose names are not present: the user's options win, and the first of two with one
 * name.
 */
export function missingOptions(wanted: readonly DnsOption[], present: readonly DnsOption[]): DnsOption[] {
  const names = new Set(present.map((option) => option.name));
  return wanted.filter((option) => !names.has(option.name) && names.add(option.name));
}
