import type { Evidence } from '../evidence.ts';
import type { CertificateEvidence, Served, Stored } from './certificates.ts';
import { certificateSecretOf } from './installation.ts';

/** The server's default port. */
const PORT = 10_250;

/** Replicas asked for their certificate at most. */
const MOST_REPLICAS = 10;

async function servedBy(evidence: Evidence): Promise<{ served: readonly Served[]; notAsked?: string }> {
  const { parts } = evidence;
  const target = await evidence.target();
  if (target === undefined) return { served: [], notAsked: 'the registration names no Service' };
  const servername = `${target.name}.${target.namespace}.svc`;
  if (parts.webhook !== undefined) return { served: [await parts.askCertificate({ ...parts.webhook, servername })] };
  if (!parts.inside) return { served: [], notAsked: 'this does not run in the cluster' };
  const view = await evidence.view();
  const service = await view.service(target.namespace, target.name).catch(() => undefined);
  const chosen = service && (await view.podsWith(target.namespace, service.selector).catch(() => []));
  const { config } = await evidence.webhookConfig();
  const ready = (chosen ?? []).filter((pod) => pod.ready && pod.ip !== '').slice(0, MOST_REPLICAS);
  const addresses = ready.map(({ ip: host }) => ({ host, port: config.server.port || PORT }));
  const asked = addresses.length > 0 ? addresses : [{ host: servername, port: target.port }];
  return { served: await Promise.all(asked.map((address) => parts.askCertificate({ ...address, servername }))) };
}

async function storedFor(evidence: Evidence): Promise<Stored | undefined> {
  const [target, { config }, deployments] = await Promise.all([
    evidence.target(),
    evidence.webhookConfig(),
    evidence.deployments(),
  ]);
  const name = certificateSecretOf(config, deployments[0]);
  if (target === undefined || name === undefined) return undefined;
  const certificates = await (await evidence.view()).secretCertificates(target.namespace, name);
  return certificates && { secret: `${target.namespace}/${name}`, certificates };
}

/** Collects the certificates that can be seen from here; undefined if the webhook is not registered. */
export async function certificateEvidence(evidence: Evidence): Promise<CertificateEvidence | undefined> {
  const [entries, { namespace } = {}] = [await evidence.entries(), await evidence.target()];
  if (entries.length === 0) return undefined;
  const [seen, stored] = await Promise.all([servedBy(evidence), storedFor(evidence).catch(() => undefined)]);
  // Several releases may be installed, each with its own CA.
  const same = entries.filter(({ service }) => service === undefined || service.namespace === namespace);
  return { entries: same, ...seen, ...(stored && { stored }), now: evidence.parts.clock.now() };
}
