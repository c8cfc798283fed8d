import type { ResolvConf } from '../policy/model.ts';

/** What a Pod's own resolv.conf says about the cluster it runs in. */
export interface ClusterDnsFacts {
  readonly dns: readonly string[];
  readonly domain: string;
  readonly nodeSearches: readonly string[];
}

/**
 * Reads the cluster's DNS settings back out of what the kubelet wrote for a ClusterFirst Pod in `namespace`:
 * `search <namespace>.svc.<domain> svc.<domain> <domain> <the node's>…`. Undefined where it does not look like that.
 */
export function clusterFromOwnFile(file: ResolvConf, namespace: string): ClusterDnsFacts | undefined {
  const prefix = `${namespace}.svc.`;
  const [first, second, third, ...nodeSearches] = file.searches;
  if (first === undefined || !first.startsWith(prefix)) return undefined;
  const domain = first.slice(prefix.length);
  if (second !== `svc.${domain}` || third !== domain || file.servers.length === 0) return undefined;
  return { dns: file.servers, domain, nodeSearches };
}
