import { existsSync } from 'node:fs';

import { containerRun } from '../detection/detector.ts';
import { createDiscovery } from '../cluster/dns-discovery.ts';
import type { OwnPlace } from '../cluster/dns-sources.ts';
import type { DoctorContext, OpenDoctor } from '../commands/doctor.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import { parsePlatform, podPlatform } from '../detection/platform.ts';
import { RACE_LIMITS, type RaceLimits } from '../doctor/dns/race.ts';
import type { ImageInspector } from '../doctor/evidence.ts';
import { createDoctorView } from '../doctor/view/reader.ts';
import type { DnsSeen } from '../doctor/view/view.ts';
import { askCertificate } from '../doctor/webhook/certificates.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { parseReference } from '../registry/reference.ts';
import { systemClock } from '../util/clock.ts';
import { openPullSecrets } from './cluster.ts';
import { openDetector } from './detection.ts';
import { chooseCluster, connect, hasServiceAccount, ownPlace, personalReporter, type Surroundings } from './join.ts';

/** Milliseconds for an object of the API, and for a certificate. */
const [READ_MS, TLS_MS] = [5000, 3000];

interface DoctorSurroundings extends Surroundings {
  /** 53, except in tests. */
  readonly dnsPort?: number;
  readonly race?: RaceLimits;
}

/** Opens what `libc-dns doctor` needs. Rejects with `CommandError` if the named kubeconfig cannot be used. */
export async function openDoctor(context: DoctorContext, surroundings: DoctorSurroundings): Promise<OpenDoctor> {
  const { config, flags, isSet, configGiven } = context;
  const { client, view, noCluster, inside } = await join(context, surroundings);
  const own = inside ? ownPlace(surroundings) : {};
  const { dns, domain } = config.cluster;
  return {
    parts: {
      version: surroundings.version,
      ...(view && { view }),
      ...(noCluster !== undefined && { noCluster }),
      inside,
      config,
      configGiven,
      given: { ...(isSet('cluster.dns') && { dns }), ...(isSet('cluster.domain') && { domain }) },
      ...(flags.namespace !== undefined && { namespace: flags.namespace }),
      ...(flags.webhook && { webhook: flags.webhook }),
      dnsPort: surroundings.dnsPort ?? 53,
      race: surroundings.race ?? RACE_LIMITS,
      findDns: (of) => findDns(of, client, own),
      askCertificate: (replica) => askCertificate(replica, TLS_MS),
      openInspector: (of) => openInspector(of, { client, surroundings, warn: context.warn }),
      clock: systemClock,
    },
    close: async () => await client?.close(),
  };
}

/** The access to the cluster; `noCluster` says why there is no client. */
interface Access {
  /** Whether we run in a Pod of the cluster. */
  readonly inside: boolean;
  readonly client?: KubeClient;
  readonly view?: ReturnType<typeof createDoctorView>;
  readonly noCluster?: string;
}

async function join({ flags }: DoctorContext, surroundings: Surroundings): Promise<Access> {
  const chosen = chooseCluster(flags, surroundings.environment, surroundings.inCluster);
  if (typeof chosen === 'string') return { inside: surroundings.inCluster, noCluster: chosen };
  const inside = chosen.files === undefined;
  if (inside && !hasServiceAccount()) {
    return { inside, noCluster: 'no service account token is mounted into this Pod' };
  }
  const { client, transport } = await connect({ ...chosen, userAgent: `libc-dns-doctor/${surroundings.version}` });
  return { inside, client, view: createDoctorView(client, transport) };
}

/** Finds the DNS settings as the webhook does, but looks for the node-local cache in any mode. */
async function findDns(config: Config, client: KubeClient | undefined, own: OwnPlace): Promise<DnsSeen> {
  const looking: Config = { ...config, nodeLocal: { ...config.nodeLocal, mode: 'auto' } };
  const discovery = createDiscovery({
    ...(client && { client }),
    config: looking,
    policy: policyConfig(looking),
    own,
    readMs: READ_MS,
  });
  await discovery.refresh(AbortSignal.timeout(4 * READ_MS));
  const [unread] = discovery.unread();
  return { ...discovery.known(), ...(unread && { unread: unread.error }) };
}

/** Drops settings that only work in the webhook's Pod, such as paths of files there; `notes` names them. */
function usableHere(config: Config): { readonly config: Config; readonly notes: readonly string[] } {
  const { registry } = config.detection;
  const missing = (['dockerConfig', 'caFile'] as const).filter(
    (key) => registry[key] !== '' && !existsSync(registry[key]),
  );
  const without = Object.fromEntries(missing.map((key) => [key, '']));
  // Cloud identities belong to the webhook's Pod: here they would be the person's own.
  const notes = [
    ...missing.map((key) => `without detection.registry.${key}: ${registry[key]} is a file of the webhook's Pod`),
    ...(registry.identities.length > 0
      ? ["without detection.registry.identities: they are those of the webhook's Pod"]
      : []),
    ...(registry.proxy
      ? ["through detection.registry.proxy without a login: that is in the webhook's environment"]
      : []),
  ];
  const detection = { ...config.detection, registry: { ...registry, ...without, identities: [] } };
  return { config: { ...config, detection }, notes };
}

const registryOf = (image: string): string | undefined => {
  try {
    return parseReference(image).host;
  } catch {
    return undefined;
  }
};

interface InspectorParts {
  readonly client: KubeClient | undefined;
  readonly surroundings: Surroundings;
  readonly warn: (message: string) => void;
}

async function openInspector(
  configured: Config,
  { client, surroundings, warn }: InspectorParts,
): Promise<ImageInspector> {
  const { config, notes } = surroundings.inCluster ? { config: configured, notes: [] } : usableHere(configured);
  const reporter = personalReporter(warn);
  const { detector, close } = await openDetector(config, { ...surroundings, reporter });
  const secrets = client && openPullSecrets(config, client, reporter);
  const platform = parsePlatform(config.detection.platform);
  return {
    registryOf,
    detect: async ({ namespace, view }, reference, signal) => {
      if (detector === undefined) throw new Error('detection.registry.enabled is off');
      const container = view.containers.find(({ image }) => image === reference) ?? { command: [], args: [] };
      const request = { reference, platform: podPlatform(view, platform), ...containerRun(container) };
      const logins = secrets && { credentials: () => secrets.loginsOf(view, namespace) };
      return await detector.detect({ ...request, ...logins }, signal);
    },
    notes,
    close: async () => {
      await close();
      secrets?.close();
    },
  };
}
