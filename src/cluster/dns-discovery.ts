import type { Config } from '../config/schema.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { asKubeError, isKubeError, type KubeError } from '../kubernetes/errors.ts';
import { type Resource, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { ClusterFacts, PolicyConfig } from '../policy/model.ts';
import { type Reporter, silentReporter, type Trouble } from '../telemetry/reporter.ts';
import { clusterDns, type FactSource, type OwnPlace, serviceAddresses } from './dns-sources.ts';
import { createNodeLocalReader, type NodeLocal } from './node-local.ts';

/** The facts, with where they come from. */
export interface KnownFacts {
  readonly facts: ClusterFacts;
  readonly sources: Readonly<Record<'dns' | 'domain' | 'nodeSearches' | 'nodeLocal', FactSource>>;
  /** What is known of the node-local cache, one sentence. */
  readonly nodeLocalDetail: string;
}

export interface DiscoveryOptions {
  /** Absent: nothing is looked up in the API. */
  readonly client?: KubeClient;
  readonly config: Pick<Config, 'cluster' | 'nodeLocal'>;
  readonly policy: PolicyConfig;
  readonly own: OwnPlace;
  readonly reporter?: Reporter;
  /** Milliseconds for one object of the API. */
  readonly readMs: number;
}

/** An object that could not be read: what was known of it stays. */
export interface Unread {
  /** `service kube-system/kube-dns`. */
  readonly object: FactSource;
  readonly error: KubeError;
}

/** What the API and our own files tell of the cluster. */
export interface Discovery {
  /** Reads what is wanted once. Never rejects. */
  look(signal: AbortSignal): Promise<void>;
  /** All that is known, but for the answer over TCP. */
  known(): KnownFacts;
  /** What the last look could not read. */
  unread(): readonly Unread[];
}

interface Found {
  readonly serviceDns: readonly string[];
  readonly nodeLocal: NodeLocal;
  readonly source: FactSource;
}

function notFound({ nodeLocal: { mode } }: PolicyConfig): Found {
  const why = mode === 'auto' ? 'its DaemonSet has not been read' : `nodeLocal.mode is ${mode}: it is not looked for`;
  const nodeLocal = { state: 'unknown', addresses: [], detail: why } as const;
  return { serviceDns: [], nodeLocal, source: mode === 'auto' ? 'not looked for' : 'configuration' };
}

function assemble({ config, own }: DiscoveryOptions, { serviceDns, nodeLocal, source }: Found): KnownFacts {
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
      ...(own.namespace !== undefined && { ownNamespace: own.namespace }),
    },
    sources: { dns: dns.source, domain: domain.source, nodeSearches: nodeSearches.source, nodeLocal: source },
    nodeLocalDetail: nodeLocal.detail,
  };
}

function readerOf(options: DiscoveryOptions, resource: Resource, name: string, as: FactSource) {
  const { client, readMs: timeoutMs, reporter = silentReporter } = options;
  const trouble = reporter.trouble(`the ${as} cannot be read; what was known of it stays`, 'facts');
  return client && createObjectReader({ client, resource, name, as, timeoutMs, trouble });
}

/** Reads the DNS Service and the node-local cache's DaemonSet, by name, and only where the configuration leaves a question. */
export function createDiscovery(options: DiscoveryOptions): Discovery {
  const { config, policy, own } = options;
  const [serviceName, daemonSetName] = [config.cluster.service, config.nodeLocal.daemonSet];
  const auto = policy.nodeLocal.mode === 'auto';
  // The Service also tells a cache that answers on its address.
  const wanted = auto || clusterDns(config, own).dns.source === 'built-in';
  const service = wanted ? readerOf(options, RESOURCES.services, serviceName, `service ${serviceName}`) : undefined;
  const source = `daemonset ${daemonSetName}` as const;
  const daemonSet = auto ? readerOf(options, RESOURCES.daemonSets, daemonSetName, source) : undefined;
  const nodeLocalReader = createNodeLocalReader(config.nodeLocal.minReady);
  let found = notFound(policy);

  return {
    async look(signal) {
      // A Service that is gone for a moment will have the same addresses again.
      await service?.read(signal, (object) => {
        if (object !== undefined) found = { ...found, serviceDns: serviceAddresses(object) };
      });
      await daemonSet?.read(signal, (object) => {
        const dns = [...found.serviceDns, ...clusterDns(config, own, found.serviceDns).dns.value];
        found = { ...found, nodeLocal: nodeLocalReader.read(object, dns), source };
      });
    },
    known: () => assemble(options, found),
    unread: () => [service, daemonSet].flatMap((reader: ObjectReader | undefined) => reader?.unread ?? []),
  };
}

interface ObjectReaderOptions {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** `namespace/name`. */
  readonly name: string;
  readonly as: FactSource;
  readonly timeoutMs: number;
  /** Reported where the object cannot be read, or not understood. */
  readonly trouble: Trouble;
}

/** One object of the API, read again and again: a GET by name needs fewer rights than a watch. */
interface ObjectReader {
  /** Why the last read told nothing; undefined if it did, be it that there is no such object. */
  readonly unread: Unread | undefined;
  /** Hands the object to `use`; undefined: there is none. Never rejects: what cannot be read is not handed over. */
  read(signal: AbortSignal, use: (object: unknown) => void): Promise<void>;
}

function createObjectReader(options: ObjectReaderOptions): ObjectReader {
  const { client, resource, as, timeoutMs, trouble } = options;
  const [namespace, name] = options.name.split('/', 2);
  const path = resourcePath(resource, name, namespace);
  let unread: Unread | undefined;

  async function get(signal: AbortSignal): Promise<unknown> {
    try {
      return await client.request({ path, timeoutMs, signal });
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
        unread = { object: as, error: asKubeError(error, 'malformed') };
        trouble.lost(unread.error);
      }
    },
  };
}
