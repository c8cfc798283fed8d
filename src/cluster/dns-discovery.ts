import type { Config } from '../config/schema.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { asKubeError, isKubeError, type KubeError } from '../kubernetes/errors.ts';
import { type Resource, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { ClusterFacts, PolicyConfig } from '../policy/model.ts';
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
  readonly hooks: DiscoveryHooks;
  /** Milliseconds for one object of the API. */
  readonly readMs: number;
}

export interface DiscoveryHooks {
  /** An object (`service kube-system/kube-dns`) cannot be read: what was known stays. Once, until it can. */
  readonly onUnreadable?: (object: FactSource, error: KubeError) => void;
  readonly onReadable?: (object: FactSource) => void;
}

/** What the API and our own files tell of the cluster. */
export interface Discovery {
  /** Reads what is wanted once. Never rejects. */
  look(signal: AbortSignal): Promise<void>;
  /** All that is known, but for the answer over TCP. */
  known(): KnownFacts;
  /** Whether the last look read all it wanted to. */
  readonly complete: boolean;
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
  const { client, readMs: timeoutMs, hooks } = options;
  const onUnreadable = (error: KubeError): void => hooks.onUnreadable?.(as, error);
  const onReadable = (): void => hooks.onReadable?.(as);
  return client && createObjectReader({ client, resource, name, timeoutMs, onUnreadable, onReadable });
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
    get complete() {
      return [service, daemonSet].every((one: ObjectReader | undefined) => one === undefined || one.readable);
    },
  };
}

interface ObjectReaderOptions {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** `namespace/name`. */
  readonly name: string;
  readonly timeoutMs: number;
  /** The object cannot be read, or not understood. Once, until it can. */
  readonly onUnreadable: (error: KubeError) => void;
  readonly onReadable: () => void;
}

/** One object of the API, read again and again: a GET by name needs fewer rights than a watch. */
interface ObjectReader {
  /** Whether the last read told something, be it that there is no such object. */
  readonly readable: boolean;
  /** Hands the object to `use`; undefined: there is none. Never rejects: what cannot be read is not handed over. */
  read(signal: AbortSignal, use: (object: unknown) => void): Promise<void>;
}

function createObjectReader(options: ObjectReaderOptions): ObjectReader {
  const { client, resource, timeoutMs } = options;
  const [namespace, name] = options.name.split('/', 2);
  const path = resourcePath(resource, name, namespace);
  let failing = false;

  async function get(signal: AbortSignal): Promise<unknown> {
    try {
      return await client.request({ path, timeoutMs, signal });
    } catch (error) {
      if (isKubeError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  return {
    get readable() {
      return !failing;
    },
    async read(signal, use) {
      try {
        use(await get(signal));
        if (failing) options.onReadable();
        failing = false;
      } catch (error) {
        if (signal.aborted) return;
        const known = asKubeError(error, 'malformed');
        if (!failing) options.onUnreadable(known);
        failing = true;
      }
    },
  };
}
