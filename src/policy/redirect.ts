import type { ClusterFacts, PodView, PolicyConfig, Reach, ResolvConf } from './model.ts';
import type { NoRedirect } from './reasons.ts';

/** core/v1 validation: MaxDNSNameservers. */
export const MAX_NAMESERVERS = 3;

/** musl resolvconf.c reads a line into 256 bytes, newline and NUL included, and skips a longer one. */
export const MUSL_LINE = 254;

/** API machinery IsDNS1123Subdomain; core/v1 validation applies it to each search domain without its trailing dot. */
const SEARCH_DOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** clusterDNS of GKE with Cloud DNS: the metadata server (cloud.google.com/kubernetes-engine/docs/how-to/cloud-dns). */
const METADATA_SERVER = '169.254.169.254';

export type Redirect =
  | { readonly nameservers: readonly string[]; readonly searches: readonly string[] }
  | { readonly not: NoRedirect };

/**
 * Returns the nameservers and searches of a redirect to the node-local cache, or why the Pod cannot be redirected.
 * Under dnsPolicy None the kubelet adds nothing, so the searches are those that it would have written (`kubelet`).
 * `mixed`: the Pod has other resolvers than musl, too.
 */
export function planRedirect(
  pod: PodView,
  kubelet: ResolvConf,
  cluster: ClusterFacts,
  config: PolicyConfig,
  mixed: boolean,
): Redirect {
  const searches = planSearches(pod, kubelet);
  if ('not' in searches) return searches;
  const servers = nameservers(pod, cluster, config, mixed);
  return servers === undefined ? { not: 'NameserversFull' } : { nameservers: servers, ...searches };
}

/** Returns the searches to write under dnsPolicy None, or why they cannot be written. `kubelet`: see {@link planRedirect}. */
export function planSearches(
  pod: PodView,
  { searches }: ResolvConf,
): { readonly searches: readonly string[] } | { readonly not: SearchProblem } {
  // The kubelet drops searches beyond its limits; a redirect must not lose those of the user.
  if (pod.dnsConfig.searches.some((search) => !searches.includes(search))) return { not: 'SearchTooLong' };
  const problem = searchProblem(searches);
  return problem === undefined ? { searches } : { not: problem };
}

type SearchProblem = Extract<NoRedirect, 'SearchTooLong' | 'SearchInvalid'>;

/**
 * Returns the nameservers of a redirect: the node-local cache, the cluster DNS (unless `fallback` is off), the user's, then
 * the configured extras that fit. Undefined if 3 leave no room for the cache and the cluster DNS beside the user's.
 *
 * In a `mixed` Pod the cluster DNS comes before the cache. musl asks all servers at once, so it loses nothing. The
 * others ask in this order, and their options help them already; a dead cache in front would make them wait: glibc for
 * minutes, because it has no connect timeout over TCP (use-vc, docs/evidence.md).
 */
function nameservers(pod: PodView, cluster: ClusterFacts, config: PolicyConfig, mixed: boolean): string[] | undefined {
  const addresses = nodeLocalAddresses(cluster, config);
  const user = pod.dnsConfig.nameservers;
  const candidates = config.nodeLocal.fallback ? cluster.dns : [];
  const isWritten = (address: string): boolean => user.includes(address);
  const needLocal = addresses.some(isWritten) ? 0 : 1;
  // The resolvers that ask in order must ask the same server first as without a redirect.
  const needed = mixed ? candidates.slice(0, 1) : candidates;
  const needDns = needed.length === 0 || needed.some(isWritten) ? 0 : 1;
  const room = MAX_NAMESERVERS - user.length;
  if (room < needLocal + needDns) return undefined;

  const local = addresses.filter((address) => !isWritten(address)).slice(0, room - needDns);
  const dns = candidates.filter((address) => !isWritten(address)).slice(0, room - local.length);
  const taken = new Set([...local, ...dns, ...user]);
  const extra = config.musl.extraNameservers.filter((address) => !taken.has(address));
  const { first, rest } = inKubeletOrder([...dns, ...user], cluster, addresses);
  const servers = mixed ? [...first, ...local, ...rest] : [...local, ...first, ...rest];
  return [...servers, ...extra.slice(0, room - local.length - dns.length)];
}

/**
 * Returns `servers` in the kubelet's order: the cluster DNS comes first, wherever the Pod's own list has it. Without the
 * cluster DNS its `caches` come first: other servers need not know the cluster's names.
 */
export function inKubeletOrder(
  servers: readonly string[],
  { dns }: Pick<ClusterFacts, 'dns'>,
  caches: readonly string[],
): { readonly first: readonly string[]; readonly rest: readonly string[] } {
  const ofCluster = dns.filter((address) => servers.includes(address));
  const first = ofCluster.length > 0 ? ofCluster : caches.filter((address) => servers.includes(address));
  return { first, rest: servers.filter((address) => !first.includes(address)) };
}

/**
 * Returns the user's nameservers and the configured extras behind them, for a Pod with musl that is not redirected. The
 * kubelet writes them behind the cluster DNS, 3 in all. Undefined if there is nothing to add.
 */
export function withExtraNameservers(
  { dnsConfig: { nameservers: written } }: PodView,
  { dns }: ClusterFacts,
  { musl }: PolicyConfig,
): readonly string[] | undefined {
  const asked = new Set([...dns, ...written]);
  const extra = [...new Set(musl.extraNameservers)].filter((address) => !asked.has(address));
  // The kubelet writes an address once; the API server counts all that are in the Pod.
  const room = MAX_NAMESERVERS - Math.max(asked.size, written.length);
  return room > 0 && extra.length > 0 ? [...written, ...extra.slice(0, room)] : undefined;
}

/**
 * Reorders the nameservers of a Pod that held only musl when we redirected it, for the other resolvers in it now (see
 * `nameservers`). Undefined if they are in this order already, or do not hold the cache.
 */
export function reorderForMixed(
  { dnsConfig: { nameservers: written } }: PodView,
  cluster: ClusterFacts,
  config: PolicyConfig,
): readonly string[] | undefined {
  const caches = nodeLocalAddresses(cluster, config);
  if (!written.some((address) => caches.includes(address))) return undefined;
  const { first, rest } = inKubeletOrder(written, cluster, caches);
  const servers = [...first, ...rest];
  return servers.every((address, index) => address === written[index]) ? undefined : servers;
}

/**
 * Returns why the searches cannot be written to a Pod. The list is within the kubelet's limits (32 domains, 2048
 * characters).
 */
function searchProblem(searches: readonly string[]): SearchProblem | undefined {
  if (`search ${searches.join(' ')}`.length > MUSL_LINE) return 'SearchTooLong';
  const refused = searches.some((search) => search !== '.' && !SEARCH_DOMAIN.test(search.replace(/\.$/, '')));
  return refused ? 'SearchInvalid' : undefined;
}

/** Returns why no Pod of this cluster should be redirected; undefined if no reason is known. */
export function nodeLocalReason(cluster: ClusterFacts, config: PolicyConfig): NoRedirect | undefined {
  const addresses = nodeLocalAddresses(cluster, config);
  // The kubelet's clusterDNS is the cache already, a DaemonSet or a service of the node (AKS LocalDNS): link-local is
  // local.
  const local = cluster.dns.some(
    (address) => addresses.includes(address) || (address.startsWith('169.254.') && address !== METADATA_SERVER),
  );
  if (local && config.nodeLocal.mode !== 'off') return 'NodeLocalFromKubelet';
  // An operator who turns the redirect on overrules discovery.
  if (config.nodeLocal.mode !== 'auto' || config.musl.remedy === 'redirect') return undefined;
  if (cluster.nodeLocal === 'intercepting') return 'NodeLocalIntercepts';
  if (cluster.nodeLocal === 'unready') return 'NodeLocalUnready';
  return cluster.nodeLocal === 'ready' && cluster.searchesAssumed === true ? 'SearchesUnknown' : undefined;
}

/** Reports whether Pods can be redirected to the node-local cache, by configuration or discovery. */
export function nodeLocalUsable(cluster: ClusterFacts, config: PolicyConfig): boolean {
  if (config.nodeLocal.mode !== 'auto') return config.nodeLocal.mode === 'on';
  return cluster.nodeLocal === 'ready' || config.musl.remedy === 'redirect';
}

/** Returns the node-local cache's addresses: those that discovery found in mode `auto`, else the configured ones. */
export function nodeLocalAddresses(cluster: ClusterFacts, config: PolicyConfig): readonly string[] {
  const found = config.nodeLocal.mode === 'auto' ? (cluster.nodeLocalAddresses ?? []) : [];
  return found.length > 0 ? found : config.nodeLocal.addresses;
}

/**
 * Returns the servers that are asked over TCP before Pods get `use-vc`: the cluster DNS, and the cache if glibc asks it, too,
 * in a mixed Pod that is redirected.
 */
export function serversOfPods(cluster: ClusterFacts, config: PolicyConfig): readonly string[] {
  const redirects = config.musl.remedy === 'auto' || config.musl.remedy === 'redirect';
  const usable = nodeLocalUsable(cluster, config) && nodeLocalReason(cluster, config) === undefined;
  const toCache = redirects && usable && config.mixedPods === 'redirect';
  return [...new Set([...(toCache ? nodeLocalAddresses(cluster, config) : []), ...cluster.dns])];
}

/**
 * Reports whether policies keep a Pod from the cache. A cache that may be out of reach does no harm beside the cluster DNS,
 * because musl asks both at once.
 */
export const isKeptFromCache = ({ nodeLocalUdp }: Reach, { nodeLocal: { fallback } }: PolicyConfig): boolean =>
  nodeLocalUdp === 'denied' || (nodeLocalUdp === 'uncertain' && !fallback);
