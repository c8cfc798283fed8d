import type { ClusterFacts, DnsOption, PolicyConfig, ResolvConf } from './model.ts';
import type { Resolver } from './verdict.ts';

/** musl counts `timeout` for the whole look-up; less than its default loses answers that others wait for. */
export const MUSL_LEAST_TIMEOUT = 5;

/** Options for the resolvers that obey them; musl has its own. Order: the configured list, then what is per resolver. */
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

/** musl: a total of `timeout` seconds, in which an unanswered query is sent `attempts` times (res_msend.c). */
export function muslOptions(config: PolicyConfig): DnsOption[] {
  return [
    { name: 'timeout', value: String(config.musl.timeout) },
    { name: 'attempts', value: String(config.musl.attempts) },
  ];
}

/** The `ndots` that the kubelet would write, as an option; none where it would write none. */
export function kubeletNdots(kubelet: ResolvConf): DnsOption[] {
  const ndots = kubelet.options.find((option) => option.startsWith('ndots:'));
  return ndots === undefined ? [] : [{ name: 'ndots', value: ndots.slice('ndots:'.length) }];
}

/** What of `wanted` the Pod does not have yet, by name: what the user wrote wins. The first of two wins. */
export function missingOptions(wanted: readonly DnsOption[], present: readonly DnsOption[]): DnsOption[] {
  const names = new Set(present.map((option) => option.name));
  return wanted.filter((option) => !names.has(option.name) && names.add(option.name));
}
