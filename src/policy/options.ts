import type { ClusterFacts, DnsOption, PolicyConfig, Reach, ResolvConf } from './model.ts';
import { MUSL_LINE, serversOfPods } from './redirect.ts';
import type { Resolver } from './verdict.ts';

/** musl's default. musl counts `timeout` for the whole look-up: with less it would miss late answers. */
export const MUSL_LEAST_TIMEOUT = 5;

/**
 * Returns the options for resolvers that need them, which musl and Go do not: the common list first, then those of each
 * resolver.
 */
export function wantedOptions(resolvers: ReadonlySet<Resolver>, config: PolicyConfig): DnsOption[] {
  const raced = [...resolvers].some((resolver) => resolver !== 'musl' && resolver !== 'go');
  const common = raced ? config.glibc.options : [];
  const go = resolvers.has('go') ? config.go.options : [];
  const extra = [...resolvers].toSorted().flatMap((resolver) => config.extraOptions[resolver] ?? []);
  const muslMayBeThere = resolvers.has('musl') || resolvers.has('unknown');
  return [...common, ...go, ...extra].filter((option) => {
    if (option.name === 'timeout' && muslMayBeThere) return Number(option.value) >= MUSL_LEAST_TIMEOUT;
    return true;
  });
}

/** Why a Pod does not get `use-vc`: its policies, a cluster DNS that did not answer, or a server that nobody has asked. */
export type TcpObstacle =
  | { readonly why: 'policies'; readonly by: string | undefined }
  | { readonly why: 'no answer' }
  | { readonly why: 'unasked'; readonly server: string };

/**
 * Returns what keeps `use-vc` from a Pod that asks `servers`; undefined if nothing does. Over TCP glibc waits about two
 * minutes for each server that packets do not reach, because it has no connect timeout (docs/evidence.md).
 */
export function tcpObstacle(
  servers: readonly string[],
  cluster: ClusterFacts,
  config: PolicyConfig,
  { dnsTcp, nodeLocalTcp, by }: Reach,
): TcpObstacle | undefined {
  const asked = serversOfPods(cluster, config);
  const isDns = (server: string): boolean => cluster.dns.includes(server);
  const isCache = (server: string): boolean => asked.includes(server) && !isDns(server);
  if (dnsTcp !== 'allowed' && servers.some(isDns)) return { why: 'policies', by: by?.dnsTcp };
  if (nodeLocalTcp !== 'allowed' && servers.some(isCache)) return { why: 'policies', by: by?.nodeLocalTcp };
  if (config.glibc.tcpPreflight && !cluster.dnsOverTcp) return { why: 'no answer' };
  const server = servers.find((one) => !asked.includes(one));
  return server === undefined ? undefined : { why: 'unasked', server };
}

/** Returns the options that need no TCP. */
export const withoutTcp = (options: readonly DnsOption[]): DnsOption[] =>
  options.filter(({ name }) => name !== 'use-vc');

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

/**
 * Returns what `retry` gives beside {@link muslOptions}: `use-vc`, which musl ignores, for c-ares in the same image (Node's
 * dns.resolve, curl, Envoy). c-ares obeys `timeout:5`, so a lost packet would cost it 5 s instead of 2; over TCP it loses
 * none (docs/evidence.md). Empty if the Pod asks other `nameservers`, too.
 */
export const retryOptions = (nameservers: readonly string[], config: PolicyConfig): DnsOption[] =>
  nameservers.length > 0 ? [] : config.glibc.options.filter(({ name }) => name === 'use-vc');

/** Returns the `ndots` option that the kubelet would write; empty if it would write none. */
export function kubeletNdots(kubelet: ResolvConf): DnsOption[] {
  const ndots = kubelet.options.find((option) => option.startsWith('ndots:'));
  return ndots === undefined ? [] : [{ name: 'ndots', value: ndots.slice('ndots:'.length) }];
}

/**
 * Returns the options of `wanted` about whose subject no option is present: the user's options win, and the first of two
 * about one subject.
 */
export function missingOptions(wanted: readonly DnsOption[], present: readonly DnsOption[]): DnsOption[] {
  const subjects = new Set(present.map(subjectOf));
  return wanted.filter((option) => !subjects.has(subjectOf(option)) && subjects.add(subjectOf(option)));
}

/**
 * Returns what an option is about. Some users write the value into the name (`timeout:1`), and the kubelet copies it. The
 * two `single-request` options are about one thing: asking A and AAAA in turn.
 */
function subjectOf({ name }: DnsOption): string {
  const [plain = name] = name.split(':', 1);
  return plain === 'single-request-reopen' ? 'single-request' : plain;
}

const optionText = ({ name, value }: DnsOption): string => (value === undefined ? name : `${name}:${value}`);

const KNOWN_TO_GO =
  /^(?:(?:ndots|timeout|attempts):.*|rotate|single-request|single-request-reopen|use-vc|usevc|tcp|trust-ad|edns0|no-reload)$/s;

/**
 * Returns the first option that Go does not know; undefined if there is none. With one in the file a Go program resolves through its libc,
 * if it is linked to one (Go 1.26, net/dnsconfig_unix.go, net/conf.go).
 */
export const unknownToGo = (options: readonly DnsOption[]): string | undefined =>
  options.map(optionText).find((text) => !KNOWN_TO_GO.test(text));

const lineLength = (options: readonly string[]): number => `options ${options.join(' ')}`.length;

/**
 * Reports whether musl reads the options line of the unpatched Pod, and would skip it with what is `added`: `ndots` would be lost, and names
 * like `web.shop` not found. `kubelet` returns what the kubelet writes for the unpatched Pod.
 */
export function outgrowsMusl(
  present: readonly DnsOption[],
  added: readonly DnsOption[],
  kubelet: () => ResolvConf,
): boolean {
  const bytes = [...present, ...added].reduce((sum, option) => sum + optionText(option).length + 1, 0);
  // Nearly all Pods: the kubelet itself adds ndots alone.
  if (bytes < MUSL_LINE / 2) return false;
  const before = kubelet().options;
  const after = [...new Set([...before, ...added.map(optionText)])];
  return lineLength(before) <= MUSL_LINE && lineLength(after) > MUSL_LINE;
}

const COSTS_GO: readonly string[] = ['single-request', 'single-request-reopen', 'use-vc'];

/** Reports whether options that others in the Pod need cost Go a round trip with each look-up (docs/evidence.md). */
export function costsGo(options: readonly DnsOption[], { go }: PolicyConfig): boolean {
  return options.some(({ name }) => COSTS_GO.includes(name) && !go.options.some((wanted) => wanted.name === name));
}
