import type { ClusterFacts, DnsOption, PolicyConfig, ResolvConf } from './model.ts';
import type { Resolver } from './verdict.ts';

/** musl counts `timeout` for the whole look-up; less than its default loses answers that others wait for. */
export const MUSL_LEAST_TIMEOUT = 5;

/** Whether the cluster DNS has answered over TCP, or the operator says that nobody need ask. */
const isTcpUsable = (cluster: ClusterFacts, config: PolicyConfig): boolean =>
  cluster.dnsOverTcp || !config.glibc.tcpPreflight;

/**
 * Options for the resolvers that need them; musl has its own, and Go is not raced. Order: the configured lists, then what is per
 * resolver.
 */
export function wantedOptions(
  resolvers: ReadonlySet<Resolver>,
  cluster: ClusterFacts,
  config: PolicyConfig,
): DnsOption[] {
  const raced = [...resolvers].some((resolver) => resolver !== 'musl' && resolver !== 'go');
  const common = raced ? config.glibc.options : [];
  const go = resolvers.has('go') ? config.go.options : [];
  const extra = [...resolvers].toSorted().flatMap((resolver) => config.extraOptions[resolver] ?? []);
  const muslMayBeThere = resolvers.has('musl') || resolvers.has('unknown');
  return [...common, ...go, ...extra].filter((option) => {
    if (option.name === 'use-vc') return isTcpUsable(cluster, config);
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

/**
 * What `retry` gives beside {@link muslOptions}: c-ares in the same image (Node's dns.resolve, curl, Envoy) obeys `timeout`, so that
 * a lost packet would cost it 5 s instead of its own 2, and `use-vc`, by which none is lost; musl ignores it (docs/evidence.md).
 * Only where the cluster DNS answers over TCP and no other nameserver is asked.
 */
export function retryOptions(nameservers: readonly string[], cluster: ClusterFacts, config: PolicyConfig): DnsOption[] {
  if (!isTcpUsable(cluster, config) || nameservers.length > 0) return [];
  return config.glibc.options.filter(({ name }) => name === 'use-vc');
}

/** The `ndots` that the kubelet would write, as an option; none where it would write none. */
export function kubeletNdots(kubelet: ResolvConf): DnsOption[] {
  const ndots = kubelet.options.find((option) => option.startsWith('ndots:'));
  return ndots === undefined ? [] : [{ name: 'ndots', value: ndots.slice('ndots:'.length) }];
}

/**
 * What an option is about. Some write its value into its name (`timeout:1`), which the kubelet copies as it is; and glibc and Go
 * do the same for the two options that make them ask A and AAAA in turn.
 */
function subjectOf({ name }: DnsOption): string {
  const [plain = name] = name.split(':', 1);
  return plain === 'single-request-reopen' ? 'single-request' : plain;
}

/** What of `wanted` the Pod does not have yet: what the user wrote wins. The first of two wins. */
export function missingOptions(wanted: readonly DnsOption[], present: readonly DnsOption[]): DnsOption[] {
  const subjects = new Set(present.map(subjectOf));
  return wanted.filter((option) => !subjects.has(subjectOf(option)) && subjects.add(subjectOf(option)));
}

const COSTS_GO: readonly string[] = ['single-request', 'single-request-reopen', 'use-vc'];

/** Whether options that others in the Pod need cost Go a round trip with each look-up (docs/evidence.md). */
export function costsGo(options: readonly DnsOption[], { go }: PolicyConfig): boolean {
  return options.some(({ name }) => COSTS_GO.includes(name) && !go.options.some((wanted) => wanted.name === name));
}
