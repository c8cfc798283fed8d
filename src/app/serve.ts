import type { ServerContext, ServerParts } from '../commands/serve.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { openCertificates } from './certificates.ts';
import { followFacts, followNamespaces, openEvents, openPullSecrets, openStore, startedWith } from './cluster.ts';
import { openDetector, reportProxy } from './detection.ts';
import { joinCluster, type Joined, type Surroundings } from './join.ts';
import { startWarmUp } from './warm-up.ts';

/** Closes what was opened, the last opened first. */
type Closing = (() => unknown)[];

async function closeAll(closing: Closing): Promise<void> {
  for (const close of closing.toReversed()) await close();
}

/** Warns about settings that need a cluster when there is none. */
function warnAlone({ client }: Joined, { config: { detection }, reporter: { log } }: ServerContext): void {
  if (client !== undefined) return;
  const { registry, cache } = detection;
  if (registry.pullSecrets) log.warn('detection.registry.pullSecrets: no cluster to read them from');
  if (cache.store === 'cluster') log.warn('detection.cache.store cluster: no cluster to keep verdicts in');
}

/** Opens each feature in order. `closing` gets the end of each as it is opened, so that a failure leaves nothing behind. */
async function open(
  context: ServerContext,
  around: Surroundings,
  closing: Closing,
): Promise<Omit<ServerParts, 'close'>> {
  const { config, flags, reporter } = context;
  const joined = await joinCluster(flags, around, reporter.log);
  closing.push(() => joined.client?.close());
  warnAlone(joined, context);
  const facts = followFacts(context, joined);
  const namespaces = followNamespaces(context, joined);
  closing.push(
    () => facts.close(),
    () => namespaces.close(),
  );
  const store = openStore(context, joined);
  closing.push(() => store?.close());
  reportProxy(config, around.environment, reporter);
  const detection = await openDetector(config, { ...around, reporter, ...(store && { store }) });
  closing.push(detection.close);
  const secrets = joined.client && openPullSecrets(config, joined.client, reporter);
  closing.push(() => secrets?.close());
  const [certificates] = await Promise.all([
    openCertificates(context, joined),
    startedWith(context, { facts, namespaces, store }),
  ]);
  closing.push(certificates.close);
  const events = openEvents(context, joined);
  closing.push(() => events?.close());
  const current = (): ClusterFacts => facts.current.facts;
  const credentials = secrets?.of;
  closing.push(startWarmUp(context, { joined, namespaces, facts: current, detection, credentials }));
  return {
    facts: current,
    namespaces,
    certificates: certificates.certificates,
    verdicts: {
      platform: parsePlatform(config.detection.platform),
      ...(detection.detector && { detector: detection.detector }),
      ...(credentials && { credentials }),
    },
    ...(events && { onDecided: (told) => events.decided(told) }),
    notReady: certificates.untrusted,
  };
}

/**
 * Opens all that a server works with. Rejects with `CommandError` where the configuration cannot be carried out; what was
 * opened by then is closed.
 */
export async function openServer(context: ServerContext, around: Surroundings): Promise<ServerParts> {
  const closing: Closing = [];
  const close = (): Promise<void> => closeAll(closing);
  try {
    return { ...(await open(context, around, closing)), close };
  } catch (error) {
    await close();
    throw error;
  }
}
