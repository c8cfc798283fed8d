import { mayRunOnVirtualNode } from './exemptions.ts';
import type { ClusterFacts, PodView, PolicyConfig, ResolvConf } from './model.ts';
import type { NoRedirect } from './reasons.ts';

/** core/v1 validation: MaxDNSNameservers. */
const MAX_NAMESERVERS = 3;

/** musl resolvconf.c reads lines into 256 bytes, newline and NUL included, and skips longer ones whole. */
export const MUSL_LINE = 254;

/** API machinery IsDNS1123Subdomain, which core/v1 validation applies to each search, a trailing dot taken off. */
const SEARCH_DOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Cloud DNS for GKE: clusterDNS is the metadata server, whose answers no cache of the node keeps (cloud.google.com/kubernetes-engine/docs/how-to/cloud-dns). */
const METADATA_SERVER = '169.254.169.254';

export type Redirect =
  | { readonly nameservers: readonly string[]; readonly searches: readonly string[] }
  | { readonly not: NoRedirect };

/** Whether the node-local cache is there to redirect to, by configuration or discovery. */
export function nodeLocalUsable(cluster: ClusterFacts, config: PolicyConfig): boolean {
  if (config.nodeLocal.mode !== 'auto') return config.nodeLocal.mode === 'on';
  return cluster.nodeLocal === 'ready' || config.musl.remedy === 'redirect';
}

/** The node-local cache's addresses: what discovery found, or what is configured where it found none or was not asked. */
export function nodeLocalAddresses(cluster: ClusterFacts, config: PolicyConfig): readonly string[] {
  const found = config.nodeLocal.mode === 'auto' ? (cluster.nodeLocalAddresses ?? []) : [];
  return found.length > 0 ? found : config.nodeLocal.addresses;
}

/** Why a Pod that a redirect would help is not to be redirected, whatever it holds; undefined where nothing is known. */
export function nodeLocalReason(cluster: ClusterFacts, config: PolicyConfig): NoRedirect | undefined {
  const addresses = nodeLocalAddresses(cluster, config);
  // A kubelet whose clusterDNS is the cache, by our DaemonSet or a service of the node (AKS LocalDNS): link-local is local.
  const local = cluster.dns.some(
    (address) => addresses.includes(address) || (address.startsWith('169.254.') && address !== METADATA_SERVER),
  );
  if (local && config.nodeLocal.mode !== 'off') return 'NodeLocalFromKubelet';
  // Who turns the redirect on vouches for what it writes.
  if (config.nodeLocal.mode !== 'auto' || config.musl.remedy === 'redirect') return undefined;
  if (cluster.nodeLocal === 'intercepting') return 'NodeLocalIntercepts';
  if (cluster.nodeLocal === 'unready') return 'NodeLocalUnready';
  return cluster.nodeLocal === 'ready' && cluster.searchesAssumed === true ? 'SearchesUnknown' : undefined;
}

/** `local` behind the first cluster DNS servers of `others`, whose order stays; before all where there are none. */
function behindClusterDns(local: readonly string[], others: readonly string[], { dns }: ClusterFacts): string[] {
  const isDns = (address: string | undefined): boolean => address !== undefined && dns.includes(address);
  let at = others.findIndex(isDns);
  if (at === -1) return [...local, ...others];
  while (isDns(others[at])) at += 1;
  return [...others.slice(0, at), ...local, ...others.slice(at)];
}

/**
 * Node-local cache first, then the cluster DNS (unless `fallback` is off), then what the user wrote, in its order, then
 * the configured extras as far as they fit. Undefined where 3 do not hold the user's and one of each.
 *
 * In a `mixed` Pod the cluster DNS comes before the cache. musl asks all at once, so it loses nothing; the others ask in
 * this order, are helped by their options already, and would wait for a cache that is gone: glibc for minutes, because
 * over TCP (use-vc) it has no connect timeout (docs/evidence.md).
 */
function nameservers(pod: PodView, cluster: ClusterFacts, config: PolicyConfig, mixed: boolean): string[] | undefined {
  const addresses = nodeLocalAddresses(cluster, config);
  const user = pod.dnsConfig.nameservers;
  const candidates = config.nodeLocal.fallback ? cluster.dns.filter((address) => !addresses.includes(address)) : [];
  const needLocal = addresses.some((address) => user.includes(address)) ? 0 : 1;
  const needDns = candidates.length === 0 || candidates.some((address) => user.includes(address)) ? 0 : 1;
  const room = MAX_NAMESERVERS - user.length;
  if (room < needLocal + needDns) return undefined;

  const unwritten = (address: string): boolean => !user.includes(address);
  const local = addresses.filter(unwritten).slice(0, room - needDns);
  const dns = candidates.filter(unwritten).slice(0, room - local.length);
  const taken = new Set([...local, ...dns, ...user]);
  const extra = config.musl.extraNameservers.filter((address) => !taken.has(address));
  const others = [...dns, ...user];
  const servers = mixed ? behindClusterDns(local, others, cluster) : [...local, ...others];
  return [...servers, ...extra.slice(0, room - local.length - dns.length)];
}

/**
 * What the user wrote and the configured extras behind it, for a Pod with musl that is not redirected. The kubelet puts them
 * behind the cluster DNS; as far as 3 hold all. undefined if nothing is added.
 */
export function withExtraNameservers(
  { dnsConfig: { nameservers: written } }: PodView,
  { dns }: ClusterFacts,
  { musl }: PolicyConfig,
): readonly string[] | undefined {
  const asked = new Set([...dns, ...written]);
  const extra = [...new Set(musl.extraNameservers)].filter((address) => !asked.has(address));
  // The kubelet writes an address once, the API server counts what stands there.
  const room = MAX_NAMESERVERS - Math.max(asked.size, written.length);
  return room > 0 && extra.length > 0 ? [...written, ...extra.slice(0, room)] : undefined;
}

/**
 * The nameservers of a Pod that we redirected while it held musl alone, with the cluster DNS before the cache, for those
 * that came into it since (see `nameservers`). Undefined where that is so, or where there is no cluster DNS among them.
 */
export function clusterDnsFirst(
  { dnsConfig: { nameservers: written } }: PodView,
  cluster: ClusterFacts,
  config: PolicyConfig,
): readonly string[] | undefined {
  const caches = nodeLocalAddresses(cluster, config);
  const local = written.filter((address) => caches.includes(address));
  const others = written.filter((address) => !caches.includes(address));
  if (local.length === 0 || !others.some((address) => cluster.dns.includes(address))) return undefined;
  const servers = behindClusterDns(local, others, cluster);
  return servers.every((address, index) => address === written[index]) ? undefined : servers;
}

/** The kubelet's own limits (32 domains, 2048 characters) hold already: it has cut the list to them. */
function searchProblem(searches: readonly string[]): NoRedirect | undefined {
  if (`search ${searches.join(' ')}`.length > MUSL_LINE) return 'SearchTooLong';
  const refused = searches.some((search) => search !== '.' && !SEARCH_DOMAIN.test(search.replace(/\.$/, '')));
  return refused ? 'SearchInvalid' : undefined;
}

/**
 * The nameservers and searches of a redirect to the node-local cache: under dnsPolicy None the kubelet adds nothing,
 * so the searches are those it would have written (`kubelet`). `mixed`: the Pod has other resolvers than musl too. Says why
 * where the Pod cannot be redirected.
 */
export function planRedirect(
  pod: PodView,
  kubelet: ResolvConf,
  cluster: ClusterFacts,
  config: PolicyConfig,
  mixed: boolean,
): Redirect {
  if (mayRunOnVirtualNode(pod)) return { not: 'VirtualNode' };
  // The kubelet cuts at its limits: what the user wrote must not be lost that way.
  if (pod.dnsConfig.searches.some((search) => !kubelet.searches.includes(search))) return { not: 'SearchTooLong' };
  const problem = searchProblem(kubelet.searches);
  if (problem !== undefined) return { not: problem };
  const servers = nameservers(pod, cluster, config, mixed);
  return servers === undefined ? { not: 'NameserversFull' } : { nameservers: servers, searches: kubelet.searches };
}
