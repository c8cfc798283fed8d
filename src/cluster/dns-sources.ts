import { isIP } from 'node:net';

import { z } from 'zod';

import type { Config } from '../config/schema.ts';
import { shaped } from '../kubernetes/lists.ts';
import { BUILT_IN, clusterFromOwnFile, parseResolvConf } from '../resolv-conf/kubelet.ts';

/** The source of a fact, for logs and `doctor`. */
export type FactSource =
  | 'configuration'
  | 'own resolv.conf'
  | `service ${string}`
  | `daemonset ${string}`
  | `ciliumlocalredirectpolicies in ${string}`
  | 'version of the API server'
  | 'built-in'
  | 'not looked for';

interface Sourced<T> {
  readonly value: T;
  readonly source: FactSource;
}

/** The addresses of a core/v1 Service. */
const serviceObject = z.object({
  spec: z.object({ clusterIP: z.string().default(''), clusterIPs: z.array(z.string()).default([]) }),
});

/**
 * Returns the cluster addresses of a Service, the primary one first: two if it is dual-stack, none if it is headless
 * (`None`) or an ExternalName. Throws `KubeError` (malformed) if the object is not a Service.
 */
export function serviceAddresses(object: unknown): readonly string[] {
  // API servers before 1.20 have only clusterIP.
  const { clusterIP, clusterIPs } = shaped(serviceObject, object, 'Service').spec;
  return (clusterIPs.length > 0 ? clusterIPs : [clusterIP]).filter((address) => isIP(address) !== 0);
}

/** Where this process runs. */
export interface OwnPlace {
  /** The text of our own /etc/resolv.conf. */
  readonly resolvConf?: string;
  /** Our own namespace. */
  readonly namespace?: string;
}

/** The DNS settings that the kubelet gives Pods, each with its source. */
interface ClusterDns {
  readonly dns: Sourced<readonly string[]>;
  readonly domain: Sourced<string>;
  readonly nodeSearches: Sourced<readonly string[]>;
}

/**
 * Returns the cluster's DNS settings: as configured, else as the kubelet wrote them into our own resolv.conf, else
 * (addresses only) the DNS Service's, else what most clusters have. The kubelet goes before the Service: Pods get
 * what it writes, even if that is a node-local cache.
 */
export function clusterDns(
  { cluster }: Pick<Config, 'cluster'>,
  own: OwnPlace,
  serviceDns: readonly string[] = [],
): ClusterDns {
  const { dns, domain, nodeSearches } = cluster;
  const kubelet = fromKubelet(own);
  const service = serviceDns.length > 0 ? serviceDns : undefined;
  return {
    dns: first<readonly string[]>(BUILT_IN.dns, [
      [given(dns), 'configuration'],
      [kubelet?.dns, 'own resolv.conf'],
      [service, `service ${cluster.service}`],
    ]),
    domain: first<string>(BUILT_IN.domain, [
      [given<string>(domain), 'configuration'],
      [kubelet?.domain, 'own resolv.conf'],
    ]),
    nodeSearches: first<readonly string[]>(BUILT_IN.nodeSearches, [
      [given(nodeSearches), 'configuration'],
      [kubelet?.nodeSearches, 'own resolv.conf'],
    ]),
  };
}

function fromKubelet({ resolvConf, namespace }: OwnPlace): ReturnType<typeof clusterFromOwnFile> {
  if (resolvConf === undefined || namespace === undefined) return undefined;
  const own = clusterFromOwnFile(parseResolvConf(resolvConf), namespace);
  return own?.dns.every((address) => isIP(address) !== 0) ? own : undefined;
}

const given = <T>(value: T | 'auto'): T | undefined => (value === 'auto' ? undefined : value);

/** Returns the first value that is known, else `fallback`. */
function first<T>(fallback: T, known: readonly (readonly [T | undefined, FactSource])[]): Sourced<T> {
  for (const [value, source] of known) if (value !== undefined) return { value, source };
  return { value: fallback, source: 'built-in' };
}
