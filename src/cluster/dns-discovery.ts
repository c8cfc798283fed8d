import { z } from 'zod';

import { type DaemonSetChoice, parseDaemonSets } from '../config/options.ts';
import type { Config } from '../config/schema.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { asKubeError, isKubeError, type KubeError } from '../kubernetes/errors.ts';
import { shaped } from '../kubernetes/lists.ts';
import { type Resource, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { ClusterFacts, PolicyConfig } from '../policy/model.ts';
import { type Reporter, silentReporter, type Trouble } from '../telemetry/reporter.ts';
import { clusterDns, type FactSource, type OwnPlace, serviceAddresses } from './dns-sources.ts';
import {
  type CacheDaemonSet,
  createNodeLocalReader,
  type NodeLocal,
  readDaemonSet,
  redirectsDns,
  reliesOnRedirect,
} from './node-local.ts';

/** The facts, each with its source. */
export interface KnownFacts {
  readonly facts: ClusterFacts;
  readonly sources: Readonly<Record<'dns' | 'domain' | 'nodeSearches' | 'nodeLocal', FactSource>>;
  /** Describes the node-local cache in one sentence. */
  readonly nodeLocalDetail: string;
}

export interface DiscoveryOptions {
  /** Absent: nothing is read from the API. */
  readonly client?: KubeClient;
  readonly config: Pick<Config, 'cluster' | 'nodeLocal'>;
  readonly policy: PolicyConfig;
  readonly own: OwnPlace;
  readonly reporter?: Reporter;
  /** Milliseconds for one object of the API. */
  readonly readMs: number;
}

/** An object that could not be read; what was known of it stays. */
export interface Unread {
  /** `service kube-system/kube-dns`. */
  readonly object: FactSource;
  readonly verb: 'get' | 'list';
  readonly error: KubeError;
}

/** Finds the cluster's DNS settings in the API and in our own files. */
export interface Discovery {
  /** Reads the objects that the configuration makes necessary, once. Never rejects. */
  refresh(signal: AbortSignal): Promise<void>;
  /** Reads the node-local cache alone, once; undefined if the configuration does not ask for it. Never rejects. */
  readonly lookAtCache: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Returns all that is known, except whether the cluster DNS answers over TCP. */
  known(): KnownFacts;
  /** Returns the objects that the last refresh could not read. */
  unread(): readonly Unread[];
}

interface Found {
  readonly serviceDns: readonly string[];
  readonly nodeLocal: NodeLocal;
  readonly source: FactSource;
  /** Absent: there is no API server to ask. */
  readonly nativeSidecars?: boolean;
}

function notFound({ policy, client }: DiscoveryOptions): Found {
  const { mode } = policy.nodeLocal;
  const why = mode === 'auto' ? 'its DaemonSet has not been read' : `nodeLocal.mode is ${mode}: it is not looked for`;
  const nodeLocal = { state: 'unknown', addresses: [], detail: why } as const;
  const source = mode === 'auto' ? 'not looked for' : 'configuration';
  return { serviceDns: [], nodeLocal, source, ...(client && { nativeSidecars: false }) };
}

function assemble({ config, own }: DiscoveryOptions, found: Found): KnownFacts {
  const { serviceDns, nodeLocal, source, nativeSidecars } = found;
  const { dns, domain, nodeSearches } = clusterDns(config, own, serviceDns);
  return {
    facts: {
      dns: dns.value,
      domain: domain.value,
      nodeSearches: nodeSearches.value,
      searchesAssumed: [domain.source, nodeSearches.source].includes('built-in'),
      dnsOverTcp: false,
      nodeLocal: nodeLocal.state,
      nodeLocalAddresses: nodeLocal.addresses,
      ...(nativeSidecars !== undefined && { nativeSidecars }),
      ...(own.namespace !== undefined && { ownNamespace: own.namespace }),
    },
    sources: { dns: dns.source, domain: domain.source, nodeSearches: nodeSearches.source, nodeLocal: source },
    nodeLocalDetail: nodeLocal.detail,
  };
}

interface Read {
  readonly verb: 'get' | 'list';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
}

function openReader(options: DiscoveryOptions, read: Read, as: FactSource) {
  const { client, readMs: timeoutMs, reporter = silentReporter } = options;
  const trouble = reporter.trouble(`the ${as} cannot be read; what was known of it stays`, 'facts');
  return client && createObjectReader({ client, read, as, timeoutMs, trouble });
}

const getting = (path: string): Read => ({ verb: 'get', path });

const listing = (resource: Resource, namespace: string, query: Record<string, string> = {}): Read => ({
  verb: 'list',
  path: resourcePath(resource, undefined, namespace),
  query,
});

/** apimachinery version.Info; clouds write a minor version as `29+`. */
const versionInfo = z.object({ major: z.string(), minor: z.string() });

/** Native sidecars are on by default since Kubernetes 1.29 (KEP-753); an older API server drops their `restartPolicy`. */
function runsNativeSidecars(object: unknown): boolean {
  const { major, minor } = shaped(versionInfo, object, 'version');
  return Number(major) > 1 || (major === '1' && parseInt(minor, 10) >= 29);
}

/**
 * Reads the DNS Service and the node-local cache's DaemonSets, if the configuration does not settle the matter, and the version
 * of the API server.
 */
export function createDiscovery(options: DiscoveryOptions): Discovery {
  const { config, policy, own } = options;
  const serviceName = config.cluster.service;
  const auto = policy.nodeLocal.mode === 'auto';
  // With `auto` the Service is needed too: its address shows a cache that intercepts it.
  const wanted = auto || clusterDns(config, own).dns.source === 'built-in';
  const [namespace, name] = serviceName.split('/', 2);
  const servicePath = resourcePath(RESOURCES.services, name, namespace);
  const service = wanted ? openReader(options, getting(servicePath), `service ${serviceName}`) : undefined;
  const cache = auto ? createCacheDiscovery(options) : undefined;
  const version = openReader(options, getting('/version'), 'version of the API server');
  let found = notFound(options);
  const readCache = async (from: CacheDiscovery, signal: AbortSignal): Promise<void> => {
    const dns = [...found.serviceDns, ...clusterDns(config, own, found.serviceDns).dns.value];
    const nodeLocal = await from.read(signal, dns);
    if (nodeLocal !== undefined) found = { ...found, nodeLocal, source: from.source };
  };

  return {
    lookAtCache: cache && ((signal) => readCache(cache, signal)),
    async refresh(signal) {
      // A missing Service keeps its addresses: one that is created again usually gets the same.
      await service?.read(signal, (object) => {
        if (object !== undefined) found = { ...found, serviceDns: serviceAddresses(object) };
      });
      if (cache !== undefined) await readCache(cache, signal);
      // An upgrade goes forward: what runs native sidecars once will do so.
      if (found.nativeSidecars === true) return;
      await version?.read(signal, (object) => {
        if (object !== undefined) found = { ...found, nativeSidecars: runsNativeSidecars(object) };
      });
    },
    known: () => assemble(options, found),
    unread: () => [...unreadOf(service), ...(cache?.unread() ?? []), ...unreadOf(version)],
  };
}

const unreadOf = (reader: ObjectReader | undefined): Unread[] => (reader?.unread ? [reader.unread] : []);

/** Reads the node-local cache's DaemonSets, and Cilium's local redirects if Pods reach the cache only by one. */
interface CacheDiscovery {
  readonly source: FactSource;
  /** Returns the cache's state; undefined if its DaemonSets cannot be read. `dns`: see {@link createNodeLocalReader}. */
  read(signal: AbortSignal, dns: readonly string[]): Promise<NodeLocal | undefined>;
  unread(): Unread[];
}

function createCacheDiscovery(options: DiscoveryOptions): CacheDiscovery {
  const { cluster, nodeLocal } = options.config;
  const source = `daemonset ${nodeLocal.daemonSet}` as const;
  const choice = parseDaemonSets(nodeLocal.daemonSet);
  const daemonSets = openReader(options, readOf(choice), source);
  // A policy has to be in the namespace of the Service that it names.
  const [namespace = ''] = cluster.service.split('/', 1);
  const listed = listing(RESOURCES.localRedirects, namespace);
  const redirects = openReader(options, listed, `ciliumlocalredirectpolicies in ${namespace}`);
  const reader = createNodeLocalReader(nodeLocal.minReady);
  let needsRedirect = false;
  let localRedirect: boolean | undefined;

  return {
    source,
    async read(signal, dns) {
      let found: readonly CacheDaemonSet[] | undefined;
      await daemonSets?.read(signal, (answer) => {
        found = chosen(choice, answer).map(readDaemonSet);
      });
      if (found === undefined) return undefined;
      needsRedirect = found.some(reliesOnRedirect);
      if (needsRedirect) {
        await redirects?.read(signal, (list) => {
          localRedirect = redirectsDns(list, cluster.service, dns);
        });
      }
      return reader.read(found, dns, localRedirect);
    },
    unread: () => [...unreadOf(daemonSets), ...(needsRedirect ? unreadOf(redirects) : [])],
  };
}

function readOf(choice: DaemonSetChoice): Read {
  const { namespace } = choice;
  if ('name' in choice) return getting(resourcePath(RESOURCES.daemonSets, choice.name, namespace));
  const query = 'labelSelector' in choice ? { labelSelector: choice.labelSelector } : {};
  return listing(RESOURCES.daemonSets, namespace, query);
}

const namedList = z.object({ items: z.array(z.looseObject({ metadata: z.looseObject({ name: z.string() }) })) });

/** Returns the DaemonSets that are meant, of the answer to `readOf`. Throws `KubeError` (malformed). */
function chosen(choice: DaemonSetChoice, answer: unknown): readonly unknown[] {
  if (answer === undefined) return [];
  if ('name' in choice) return [answer];
  const { items } = shaped(namedList, answer, 'list of DaemonSets');
  if (!('pattern' in choice)) return items;
  const escaped = choice.pattern.replaceAll(/[^\w-]/g, (character) => (character === '*' ? '.*' : `\\${character}`));
  const pattern = new RegExp(`^${escaped}$`);
  return items.filter(({ metadata }) => pattern.test(metadata.name));
}

interface ObjectReaderOptions {
  readonly client: KubeClient;
  readonly read: Read;
  readonly as: FactSource;
  readonly timeoutMs: number;
  /** Reported if the object cannot be read or parsed. */
  readonly trouble: Trouble;
}

/** Reads an object or a list of the API repeatedly: a GET needs fewer rights than a watch. */
interface ObjectReader {
  /** Why the last read failed; undefined if it succeeded, even if there is no such object. */
  readonly unread: Unread | undefined;
  /** Calls `use` with the object, or with undefined if it does not exist; not at all if it cannot be read. Never rejects. */
  read(signal: AbortSignal, use: (object: unknown) => void): Promise<void>;
}

function createObjectReader(options: ObjectReaderOptions): ObjectReader {
  const { client, read, as, timeoutMs, trouble } = options;
  const { verb, path, query = {} } = read;
  let unread: Unread | undefined;

  async function get(signal: AbortSignal): Promise<unknown> {
    try {
      return await client.request({ path, query, timeoutMs, signal });
    } catch (error) {
      if (isKubeError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  return {
    get unread() {
      return unread;
    },
    async read(signal, use) {
      try {
        use(await get(signal));
        unread = undefined;
        trouble.recovered();
      } catch (error) {
        if (signal.aborted) return;
        unread = { object: as, verb, error: asKubeError(error, 'malformed') };
        trouble.lost(unread.error);
      }
    },
  };
}
