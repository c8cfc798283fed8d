import type { Namespaces } from '../admission/mutate.ts';
import type { KnownFacts } from '../cluster/dns-discovery.ts';
import { type ClusterFactsSource, createClusterFacts } from '../cluster/dns-facts.ts';
import { createNamespaces } from '../cluster/namespaces.ts';
import { createPullSecrets, type PullSecrets } from '../cluster/pull-secrets.ts';
import type { ServerContext } from '../commands/serve.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import type { NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { parseDockerConfig, parseLegacyDockerConfig } from '../registry/auth/docker-config.ts';
import type { FailureLog } from '../telemetry/failure-log.ts';
import { limitedWarnings } from '../telemetry/log-limits.ts';
import type { Log } from '../telemetry/log.ts';
import { pause } from '../util/abort.ts';
import { systemClock } from '../util/clock.ts';
import type { Joined } from './join.ts';

/** Milliseconds that readiness waits for a copy that does not come: Pods are answered all the same, each by live reads. */
const FIRST_COPY_MS = 10_000;

function factsLine({ facts, sources, nodeLocalDetail }: KnownFacts): object {
  const { dns, domain, nodeSearches, nodeLocal, nodeLocalAddresses } = facts;
  return { dns, domain, nodeSearches, nodeLocal, nodeLocalAddresses, nodeLocalDetail, sources };
}

/** Said once, for whoever has to set it by hand. */
function builtIn({ sources }: KnownFacts): string[] {
  const flags = { dns: '--cluster-dns', domain: '--cluster-domain', nodeSearches: '--node-searches' } as const;
  return Object.entries(flags)
    .filter(([fact]) => sources[fact as keyof typeof flags] === 'built-in')
    .map(([fact, flag]) => `cluster.${fact} (${flag})`);
}

/** The cluster's DNS settings, each change logged and counted. */
export function composeFacts(
  { config, log, metrics }: ServerContext,
  { client, own }: Joined,
  failures: FailureLog,
): ClusterFactsSource {
  const facts = createClusterFacts({
    config,
    policy: policyConfig(config),
    own,
    ...(client && { client }),
    hooks: {
      onUnreadable: (object, error) => {
        metrics.cluster.apiFailed('facts', error.code);
        failures.failed(`the ${object} cannot be read; what was known of it stays`, error);
      },
      onReadable: (object) => failures.worked(`the ${object} cannot be read; what was known of it stays`),
      onDnsOverTcp: (answered, servers) => {
        metrics.dnsOverTcp(answered);
        log.info({ servers, answered }, 'cluster DNS over TCP: use-vc is given only where it answers');
      },
      onChange: (now, before) => {
        metrics.cluster.factsChanged();
        metrics.cluster.nodeLocal(now.facts.nodeLocal);
        log.info({ ...factsLine(now), before: factsLine(before) }, 'the cluster DNS has changed');
      },
    },
  });
  metrics.cluster.nodeLocal(facts.current.facts.nodeLocal);
  return facts;
}

/** Waits for the first look, a bounded time, and says what is known. */
export async function firstFacts({ log }: ServerContext, facts: ClusterFactsSource): Promise<void> {
  await facts.ready;
  const { current } = facts;
  log.info(factsLine(current), 'cluster DNS');
  const assumed = builtIn(current);
  if (assumed.length > 0) log.warn(`taken for granted, for nothing tells it: ${assumed.join(', ')}`);
}

/** Where the labels of namespaces come from, and whether they are there. */
export interface NamespaceParts {
  readonly namespaces: Namespaces;
  /** Resolves when all have been read once, or cannot be. */
  readonly ready: Promise<void>;
  /** For who looks ahead: from memory, and told of changes. */
  readonly ahead: {
    readonly peek: (name: string) => NamespaceView | undefined;
    /** Resolves when all have been read once. */
    readonly ready: Promise<void>;
    /** Calls back with the name of each namespace that has come or whose label has changed. */
    readonly onChange: (listener: (name: string) => void) => void;
  };
  readonly close: () => Promise<void>;
}

/** The labels of namespaces: those of the flag, else the cluster's, else none. */
export function composeNamespaces(
  { flags, metrics }: ServerContext,
  { client }: Joined,
  failures: FailureLog,
): NamespaceParts {
  const { namespaceMode } = flags;
  if (namespaceMode !== undefined || client === undefined) {
    const labels = namespaceMode === undefined ? {} : { [MODE_LABEL]: namespaceMode };
    const get = (name: string): NamespaceView => ({ name, labels });
    const ready = Promise.resolve();
    return { namespaces: { get }, ready, ahead: { peek: get, ready, onChange: () => {} }, close: async () => {} };
  }
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
  const listeners: ((name: string) => void)[] = [];
  const what = 'the namespaces cannot be watched; each new one is read by itself';
  const copy = createNamespaces({
    client,
    clock: systemClock,
    hooks: {
      onError: ({ code }) => metrics.cluster.apiFailed('namespaces', code),
      onLost: (error) => {
        failures.failed(what, error);
        lose();
      },
      onRecovered: () => failures.worked(what),
      onChange: (name) => {
        for (const listener of listeners) listener(name);
      },
      onRead: (outcome) => outcome !== 'found' && metrics.cluster.apiFailed('namespace', outcome),
    },
  });
  metrics.cluster.informer('namespaces', () => ({
    synced: copy.synced,
    items: copy.size,
    contactAt: copy.contactAt,
  }));
  const onChange = (listener: (name: string) => void): void => void listeners.push(listener);
  return {
    namespaces: copy,
    ready: Promise.race([copy.ready, lost]),
    ahead: { peek: (name) => copy.peek(name), ready: copy.ready, onChange },
    close: () => copy.close(),
  };
}

/** Resolves when the copies are there, or after a while without them. */
export async function firstCopies(copies: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
  await Promise.race([Promise.all(copies), pause(FIRST_COPY_MS, signal)]);
}

/**
 * The registry logins of Pods: `of` is the `credentials` of `PodVerdictsOptions`. Undefined where the configuration does
 * not allow to read Secrets. `count` is called for each that could not be used.
 */
export function composePullSecrets(
  { detection }: Config,
  client: Pick<KubeClient, 'request'>,
  log: Pick<Log, 'warn'>,
  count: (code: string) => void = () => {},
): PullSecrets | undefined {
  const { enabled, pullSecrets } = detection.registry;
  if (!enabled || !pullSecrets) return undefined;
  const warn = limitedWarnings(log, systemClock);
  return createPullSecrets({
    client,
    readers: { dockerConfig: parseDockerConfig, legacyDockerConfig: parseLegacyDockerConfig },
    clock: systemClock,
    onProblem: ({ message, ...fields }) => {
      count(fields.code);
      warn(message, fields);
    },
  });
}
