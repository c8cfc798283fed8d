import type { ServerContext, ServerParts } from '../commands/serve.ts';
import { registryProxy } from '../config/registry-proxy.ts';
import type { DetectorHooks } from '../detection/detector.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { createFailureLog } from '../telemetry/failure-log.ts';
import { limitedWarnings } from '../telemetry/log-limits.ts';
import type { OpenDetector } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import { composeCertificates } from './certificates.ts';
import { composeFacts, composeNamespaces, composePullSecrets, firstCopies, firstFacts } from './cluster.ts';
import { composeDetector, type DetectionOptions } from './detection.ts';
import { joinCluster, type Joined, type Surroundings } from './join.ts';
import { composeEvents, composeStore, composeWarmUp, type StoreParts } from './observers.ts';

function detectionHooks({ metrics, log }: ServerContext): DetectorHooks {
  return {
    onDetection: ({ from, failure }) => metrics.detected(from, failure ?? 'none'),
    onLookup: ({ failure, durationMs, bytes }) => metrics.lookedUp(failure ?? 'none', durationMs / 1000, bytes),
    onError: (error) => log.error({ err: error }, 'a look-up failed in an unexpected way'),
  };
}

/** Hosts are chosen by whoever creates Pods: their names are in the log alone, and there not without limit. */
function breakerHook({ metrics, log }: ServerContext): NonNullable<DetectionOptions['onBreaker']> {
  const limited = limitedWarnings(log, systemClock);
  return ({ host, state }) => {
    metrics.detection.breaker(host, state);
    if (state === 'open') limited(`the registry ${host} keeps failing and is left alone for a while`);
  };
}

/** What the configuration asks of a cluster, and there is none: said, so that nobody counts on it. */
function without({ client }: Joined, { config: { detection }, log }: ServerContext): void {
  if (client !== undefined) return;
  const { registry, cache } = detection;
  if (registry.pullSecrets) log.warn('detection.registry.pullSecrets: no cluster to read them from');
  if (cache.store === 'cluster') log.warn('detection.cache.store cluster: no cluster to keep verdicts in');
}

/** Said at the start, for the environment may hold what nobody thinks of. */
function sayProxy({ config, log }: ServerContext, { environment }: Surroundings): void {
  const proxy = registryProxy(config, environment);
  if (proxy === undefined) return;
  const { address, noProxy, origin } = proxy;
  log.info({ proxy: address, noProxy, from: origin }, 'registries are asked through a proxy');
}

/** What is to be closed, the last opened first. */
type Closing = (() => Promise<unknown>)[];

async function closeAll(closing: Closing): Promise<void> {
  for (const close of closing.toReversed()) await close();
}

async function openDetection(
  context: ServerContext,
  around: Surroundings,
  store: StoreParts | undefined,
  closing: Closing,
): Promise<OpenDetector> {
  const { config, log, metrics } = context;
  sayProxy(context, around);
  const detection = await composeDetector(config, {
    ...around,
    warn: (message) => log.warn(message),
    hooks: detectionHooks(context),
    onBreaker: breakerHook(context),
    ...(store && { openStore: store.open }),
  });
  if (detection.stats !== undefined) metrics.detection.sizes(detection.stats);
  closing.push(async () => {
    await detection.close();
    await store?.close();
  });
  return detection;
}

async function open(
  context: ServerContext,
  around: Surroundings,
  closing: Closing,
): Promise<Omit<ServerParts, 'close'>> {
  const { config, flags, log, signal } = context;
  const failures = createFailureLog(log, systemClock.monotonic);
  const joined = await joinCluster(flags, around, log);
  closing.push(async () => await joined.client?.close());
  without(joined, context);
  const facts = composeFacts(context, joined, failures);
  const namespaces = composeNamespaces(context, joined, failures);
  closing.push(() => facts.close(), namespaces.close);
  const store = composeStore(context, joined, failures);
  const detection = await openDetection(context, around, store, closing);
  const secrets =
    joined.client &&
    composePullSecrets(config, joined.client, log, (code) => context.metrics.cluster.pullSecretFailed(code));
  closing.push(async () => secrets?.close());
  const [certificates] = await Promise.all([
    composeCertificates(context, joined, failures),
    firstFacts(context, facts),
    firstCopies([namespaces.ready, ...(store === undefined ? [] : [store.ready()])], signal),
  ]);
  closing.push(certificates.close);
  const credentials = secrets?.of;
  const events = config.server.events ? composeEvents(context, joined, failures) : undefined;
  closing.push(async () => events?.close());
  const current = (): ClusterFacts => facts.current.facts;
  closing.push(composeWarmUp(context, { joined, namespaces, facts: current, detection, credentials, failures }));
  return {
    facts: current,
    namespaces: namespaces.namespaces,
    certificates: certificates.certificates,
    verdicts: {
      platform: parsePlatform(config.detection.platform),
      ...(detection.detector && { detector: detection.detector }),
      ...(credentials && { credentials }),
    },
    ...(events && { onDecided: events.onDecided }),
    notReady: certificates.untrusted,
  };
}

/** Puts the server of `libc-dns serve` together. Rejects with `CommandError` where the configuration cannot be carried out. */
export async function composeServer(context: ServerContext, around: Surroundings): Promise<ServerParts> {
  const closing: Closing = [];
  const close = (): Promise<void> => closeAll(closing);
  try {
    return { ...(await open(context, around, closing)), close };
  } catch (error) {
    await close();
    throw error;
  }
}
