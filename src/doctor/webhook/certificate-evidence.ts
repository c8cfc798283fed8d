import type { Sight } from '../evidence.ts';
import type { CertificateSight, Served, Stored } from './certificates.ts';
import { certificateSecretOf } from './installation.ts';

/** Where the server listens unless the configuration says otherwise. */
const PORT = 10_250;

/** Replicas asked for their certificate. */
const MOST_REPLICAS = 10;

async function servedBy(sight: Sight): Promise<{ served: readonly Served[]; notAsked?: string }> {
  const { parts } = sight;
  const target = await sight.target();
  if (target === undefined) return { served: [], notAsked: 'the registration names no Service' };
  const servername = `${target.name}.${target.namespace}.svc`;
  if (parts.webhook !== undefined) return { served: [await parts.askCertificate({ ...parts.webhook, servername })] };
  if (!parts.inside) return { served: [], notAsked: 'this does not run in the cluster' };
  const view = await sight.view();
  const service = await view.service(target.namespace, target.name).catch(() => undefined);
  const chosen = service && (await view.podsWith(target.namespace, service.selector).catch(() => []));
  const { config } = await sight.webhookConfig();
  const ready = (chosen ?? []).filter((pod) => pod.ready && pod.ip !== '').slice(0, MOST_REPLICAS);
  const addresses = ready.map(({ ip: host }) => ({ host, port: config.server.port || PORT }));
  const asked = addresses.length > 0 ? addresses : [{ host: servername, port: target.port }];
  return { served: await Promise.all(asked.map((address) => parts.askCertificate({ ...address, servername }))) };
}

async function storedFor(sight: Sight): Promise<Stored | undefined> {
  const [target, { config }, deployments] = await Promise.all([
    sight.target(),
    sight.webhookConfig(),
    sight.deployments(),
  ]);
  const name = certificateSecretOf(config, deployments[0]);
  if (target === undefined || name === undefined) return undefined;
  const certificates = await (await sight.view()).secretCertificates(target.namespace, name);
  return certificates && { secret: `${target.namespace}/${name}`, certificates };
}

/** The certificates that can be seen from here; undefined where nobody is registered. */
export async function certificateSight(sight: Sight): Promise<CertificateSight | undefined> {
  const [entries, { namespace } = {}] = [await sight.entries(), await sight.target()];
  if (entries.length === 0) return undefined;
  const [seen, stored] = await Promise.all([servedBy(sight), storedFor(sight).catch(() => undefined)]);
  // Of several releases, each has a CA of its own.
  const same = entries.filter(({ service }) => service === undefined || service.namespace === namespace);
  return { entries: same, ...seen, ...(stored && { stored }), now: sight.parts.clock.now() };
}
