import type { ServerContext, ServerParts } from '../commands/serve.ts';
import { parsePlatform } from '../detection/platform.ts';
import { REACHES_ALL } from '../exposure/dns-target.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { openCallers, openCertificates } from './certificates.ts';
import {
  admissionLogins,
  awaitFirstReads,
  followExposure,
  followFacts,
  followNamespaces,
  followReach,
  openEvents,
  openPullSecrets,
  openStore,
  warnOfUnverified,
} from './cluster.ts';
import { openDetector, reportProxy } from './detection.ts';
import { joinCluster, type Joined, type Surroundings } from './join.ts';
import { startWarmUp } from './warm-up.ts';

interface ServerSurroundings extends Surroundings {
  /** Path of the program that reads images in a process of its own. */
  readonly readerPath: string;
}

/**
 * Opens all that a server works with. Rejects with `CommandError` if the configuration cannot be carried out, after closing
 * what was opened by then.
 */
export async function openServer(context: ServerContext, surroundings: ServerSurroundings): Promise<ServerParts> {
  const closing: Closing = [];
  const close = (): Promise<void> => closeAll(closing);
  try {
    return { ...(await open(context, surroundings, closing)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Functions that close what was opened, in the order of opening. */
type Closing = (() => unknown)[];

async function closeAll(closing: Closing): Promise<void> {
  for (const close of closing.toReversed()) await close();
}

/** Warns about settings that need a cluster when there is none. */
function warnAlone({ client }: Joined, { config: { detection, exposure }, reporter: { log } }: ServerContext): void {
  if (client !== undefined) return;
  const { registry, cache } = detection;
  if (registry.pullSecrets) log.warn('detection.registry.pullSecrets: no cluster to read them from');
  if (exposure === 'auto') log.warn('exposure auto: no cluster whose nodes can be read: Pods are patched');
  if (cache.store === 'cluster') log.warn('detection.cache.store cluster: no cluster to keep verdicts in');
}

/** Opens each feature in order, and adds how to close it to `closing` at once, so that a failure leaves nothing open. */
async function open(
  context: ServerContext,
  surroundings: ServerSurroundings,
  closing: Closing,
): Promise<Omit<ServerParts, 'close'>> {
  const { config, flags, reporter } = context;
  const callers = openCallers(context);
  closing.push(() => callers?.ca.close());
  const joined = await joinCluster(flags, surroundings, reporter.log);
  closing.push(() => joined.client?.close());
  warnAlone(joined, context);
  if (joined.client !== undefined) warnOfUnverified(config, reporter);
  const facts = followFacts(context, joined);
  const exposure = followExposure(context, joined);
  const namespaces = followNamespaces(context, joined);
  for (const part of [facts, exposure, namespaces]) closing.push(() => part?.close());
  const current = (): ClusterFacts => facts.current.facts;
  const reach = followReach(context, joined, current);
  closing.push(() => reach?.close());
  const store = openStore(context, joined);
  closing.push(() => store?.close());
  reportProxy(config, surroundings.environment, reporter);
  const detection = await openDetector(config, { ...surroundings, reporter, ...(store && { store }) });
  closing.push(detection.close);
  const secrets = joined.client && openPullSecrets(config, joined.client, reporter);
  closing.push(() => secrets?.close());
  const [certificates] = await Promise.all([
    openCertificates(context, joined),
    awaitFirstReads(context, { facts, exposure, namespaces, reach, store }),
  ]);
  closing.push(certificates.close);
  const events = openEvents(context, joined);
  closing.push(() => events?.close());
  const credentials = admissionLogins(config, secrets);
  const podFacts = exposure === undefined ? current : () => exposure.applyTo(current());
  const ofAny = reach?.ofAny ?? (() => REACHES_ALL);
  const logins = { credentials: secrets?.loginsOf };
  closing.push(
    startWarmUp(context, { joined, namespaces, facts: current, podFacts, detection, reach: ofAny, ...logins }),
  );
  return {
    facts: podFacts,
    ...(reach && { reach: reach.of }),
    namespaces,
    certificates: certificates.certificates,
    ...(callers && { callers }),
    verdicts: {
      platform: parsePlatform(config.detection.platform),
      ...(detection.detector && { detector: detection.detector }),
      ...(credentials && { credentials }),
    },
    ...(events && { onDecided: (decision) => events.decided(decision) }),
    notReady: certificates.untrusted,
  };
}
