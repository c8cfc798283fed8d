import type { ClusterFacts, DnsConfig, DnsOption, ResolvConf } from '../policy/model.ts';

/** core/v1 validation constants; the kubelet applies them again. */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;
/** API machinery DNS1123SubdomainMaxLength. */
const MAX_DOMAIN = 253;

/** The kubelet's own settings. */
interface KubeletDns {
  /** `clusterDNS` of the kubelet's configuration. */
  readonly clusterDns: readonly string[];
  /** `clusterDomain` of the kubelet's configuration; may be empty. */
  readonly clusterDomain: string;
  /** The node's resolv.conf, parsed. */
  readonly node: ResolvConf;
}

/** The parts of a Pod that decide its resolv.conf. */
interface PodDns {
  /** For the kubelet's warnings; empty as long as the API server has not chosen a name. */
  readonly name: string;
  readonly namespace: string;
  readonly dnsPolicy: string;
  readonly hostNetwork: boolean;
  readonly dnsConfig: DnsConfig;
}

interface KubeletAnswer {
  readonly resolvConf: ResolvConf;
  /** The kubelet's events, each `<reason> <message>`. */
  readonly warnings: readonly string[];
}

/**
 * Returns what the kubelet writes into a Pod's resolv.conf (GetPodDNS in pkg/kubelet/network/dns/dns.go, Kubernetes
 * 1.37), and the warnings of its events. The kubelet writes options in random order; this function keeps the order
 * given.
 */
export function kubeletResolvConf(kubelet: KubeletDns, pod: PodDns): KubeletAnswer {
  const warnings: string[] = [];
  const from = base(kubelet, pod, warnings);
  const { nameservers, searches, options } = pod.dnsConfig;
  const resolvConf = {
    servers: fitNameservers(unique([...from.servers, ...nameservers]), warnings),
    searches: fitSearches(unique([...from.searches, ...searches]), warnings),
    options: mergeOptions(from.options, options),
  };
  return { resolvConf, warnings };
}

/** Returns what the kubelet writes into a Pod's resolv.conf by what is known of the cluster: of a node's own file, its search domains. */
export function expectedResolvConf(
  { dns, domain, nodeSearches }: ClusterFacts,
  namespace: string,
  pod: Omit<PodDns, 'name' | 'namespace'>,
): ResolvConf {
  const node = { servers: [], searches: nodeSearches, options: [] };
  const { dnsPolicy, hostNetwork, dnsConfig } = pod;
  return kubeletResolvConf(
    { clusterDns: dns, clusterDomain: domain, node },
    { name: '', namespace, dnsPolicy, hostNetwork, dnsConfig },
  ).resolvConf;
}

function base(kubelet: KubeletDns, pod: PodDns, warnings: string[]): ResolvConf {
  const type = podType(pod);
  if (type === 'none') return { servers: [], searches: [], options: [] };
  if (type === 'host') return kubelet.node;
  if (kubelet.clusterDns.length === 0) {
    warnings.push(...missingClusterDns(pod));
    return kubelet.node;
  }
  return {
    servers: kubelet.clusterDns,
    searches: clusterSearches(kubelet, pod.namespace),
    options: ['ndots:5'],
  };
}

function podType(pod: PodDns): 'none' | 'cluster' | 'host' {
  if (pod.dnsPolicy === 'None') return 'none';
  if (pod.dnsPolicy === 'ClusterFirstWithHostNet') return 'cluster';
  if (pod.dnsPolicy === 'ClusterFirst') return pod.hostNetwork ? 'host' : 'cluster';
  return 'host';
}

function clusterSearches(kubelet: KubeletDns, namespace: string): readonly string[] {
  const domain = kubelet.clusterDomain;
  if (domain === '') return kubelet.node.searches;
  return unique([`${namespace}.svc.${domain}`, `svc.${domain}`, domain, ...kubelet.node.searches]);
}

function missingClusterDns(pod: PodDns): string[] {
  const message =
    `kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. ` +
    `Falling back to "Default" policy.`;
  return [`MissingClusterDNS ${message}`, `MissingClusterDNS pod: "${pod.name}_${pod.namespace}()". ${message}`];
}

/** Merges options by name, the last one wins (mergeDNSOptions). An empty value counts as none. */
function mergeOptions(existing: readonly string[], added: readonly DnsOption[]): string[] {
  const options = new Map(existing.map((option) => [option.split(':', 1)[0] ?? option, option]));
  for (const { name, value } of added)
    options.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  return [...options.values()];
}

/** Cuts to 3 nameservers (formDNSNameserversFitsLimits). */
function fitNameservers(servers: readonly string[], warnings: string[]): readonly string[] {
  if (servers.length <= MAX_NAMESERVERS) return servers;
  const kept = servers.slice(0, MAX_NAMESERVERS);
  warnings.push(
    'DNSConfigForming Nameserver limits were exceeded, some nameservers have been omitted, ' +
      `the applied nameserver line is: ${kept.join(' ')}`,
  );
  return kept;
}

/**
 * Cuts to 32 domains of at most 253 characters, and 2048 characters in all, by whole domains (formDNSSearchFitsLimits).
 */
function fitSearches(searches: readonly string[], warnings: string[]): readonly string[] {
  const kept = searches.slice(0, MAX_SEARCHES).filter((search) => search.length <= MAX_DOMAIN);
  while (kept.join(' ').length > MAX_SEARCH_CHARS) kept.pop();
  if (kept.length === searches.length) return searches;
  warnings.push(
    'DNSConfigForming Search Line limits were exceeded, some search paths have been omitted, ' +
      `the applied search line is: ${kept.join(' ')}`,
  );
  return kept;
}

const unique = (items: readonly string[]): string[] => [...new Set(items)];

/**
 * Parses a resolv.conf as the kubelet does (parseResolvConf in pkg/kubelet/network/dns/dns.go): the last `search` wins.
 */
export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  const options = new Map<string, string>();
  let searches: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...fields] = line.trim().split(/\s+/);
    if (keyword === 'nameserver' && fields[0] !== undefined) servers.push(fields[0]);
    if (keyword === 'search') searches = fields.map((field) => (field === '.' ? field : field.replace(/\.$/, '')));
    if (keyword === 'options') for (const option of fields) options.set(option.split(':', 1)[0] ?? option, option);
  }
  return { servers, searches, options: [...options.values()] };
}

/** The cluster's DNS settings in a Pod's own resolv.conf. */
interface ClusterDnsFacts {
  readonly dns: readonly string[];
  readonly domain: string;
  readonly nodeSearches: readonly string[];
}

/**
 * Reads the cluster's DNS settings out of the file that the kubelet wrote for a ClusterFirst Pod in `namespace`;
 * undefined unless its searches are `<namespace>.svc.<domain> svc.<domain> <domain> <the node's>…`.
 */
export function clusterFromOwnFile(file: ResolvConf, namespace: string): ClusterDnsFacts | undefined {
  const prefix = `${namespace}.svc.`;
  const [first, second, third, ...nodeSearches] = file.searches;
  if (first === undefined || !first.startsWith(prefix)) return undefined;
  const domain = first.slice(prefix.length);
  if (second !== `svc.${domain}` || third !== domain || file.servers.length === 0) return undefined;
  // Nodes may have them in any case; the API server takes them in lower case alone.
  return { dns: file.servers, domain, nodeSearches: nodeSearches.map((search) => search.toLowerCase()) };
}

/** The assumed DNS of a cluster about which nothing is known: the defaults of kubeadm, kind and most distributions. */
export const BUILT_IN = { dns: ['10.96.0.10'], domain: 'cluster.local', nodeSearches: [] } as const;
