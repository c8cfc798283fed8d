import type { PodSeen } from '../../cluster/pod-seen.ts';
import { ConfigError, loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import type { Labels } from '../../kubernetes/objects.ts';
import type { ClusterView, DeploymentSeen, MountSeen, WebhookConfiguration, WebhookEntry } from '../view/view.ts';

/** The Service that the API server calls. */
export type Target = NonNullable<WebhookEntry['service']>;

/** Returns the Service that our entries name; of several, the one in `namespace`, else the first. */
export function targetOf(ours: readonly WebhookConfiguration[], namespace: string | undefined): Target | undefined {
  const services = ours.flatMap(({ entries }) => entries.flatMap(({ service }) => service ?? []));
  return services.find((service) => service.namespace === namespace) ?? services[0];
}

/** Reports whether a Service selector matches the labels; an empty one matches nothing (core/v1 ServiceSpec). */
export function chooses(selector: Labels, labels: Labels): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

/** Returns the value of `--config`. */
function configFile({ words }: DeploymentSeen): string | undefined {
  const at = words.indexOf('--config');
  if (at !== -1) return words[at + 1];
  return words.find((word) => word.startsWith('--config='))?.slice('--config='.length);
}

function mountOf(mounts: readonly MountSeen[], kind: MountSeen['kind'], path: string): MountSeen | undefined {
  return mounts.find((mount) => mount.kind === kind && path.startsWith(`${mount.path.replace(/\/$/, '')}/`));
}

/** Returns the ConfigMap, and its key, that a Deployment reads its configuration from. */
export function configMapOf(deployment: DeploymentSeen): { readonly name: string; readonly key: string } | undefined {
  const file = configFile(deployment) ?? deployment.environment['LIBC_DNS_CONFIG'];
  const mount = file === undefined ? undefined : mountOf(deployment.mounts, 'configMap', file);
  if (file === undefined || mount === undefined) return undefined;
  return { name: mount.name, key: file.slice(file.lastIndexOf('/') + 1) };
}

/** Returns the Secret that holds the shared CA (self-managed), or the mounted serving certificate. */
export function certificateSecretOf(
  { tls }: Pick<Config, 'tls'>,
  deployment: DeploymentSeen | undefined,
): string | undefined {
  if (tls.mode === 'self-managed') return tls.secret;
  return deployment && mountOf(deployment.mounts, 'secret', tls.certFile)?.name;
}

/** Returns the ConfigMap or Secret that the CAs of client certificates are mounted from. */
export function clientCaMountOf(
  { tls }: Pick<Config, 'tls'>,
  deployment: DeploymentSeen | undefined,
): MountSeen | undefined {
  const mounts = deployment?.mounts ?? [];
  return mountOf(mounts, 'configMap', tls.clientCaFile) ?? mountOf(mounts, 'secret', tls.clientCaFile);
}

/** The webhook's configuration and its source. */
export interface WebhookConfig {
  readonly config: Config;
  readonly from: string;
  /** Why the configuration that was found is invalid and not used. */
  readonly problems: readonly string[];
  /** Why it could not be read; `config` is then the command line's. */
  readonly unread?: unknown;
}

interface ConfigText {
  readonly from: string;
  readonly text: string;
  /** The environment variables of the webhook's container. */
  readonly environment: Labels;
}

/** Reads the webhook's own configuration. If it is invalid, returns `fallback` with the problems. */
export function readConfig({ from, text, environment }: ConfigText, fallback: Config): WebhookConfig {
  try {
    const { config } = loadConfig({ file: { name: from, text }, environment, flags: [] });
    return { config, from, problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: fallback, from: 'defaults', problems: error.problems };
  }
}

/** Returns the Pods behind the Service that the API server calls; empty without a Service. */
export async function podsBehind(
  view: Pick<ClusterView, 'service' | 'podsWith'>,
  { namespace, name }: Pick<Target, 'namespace' | 'name'>,
): Promise<readonly PodSeen[]> {
  const service = await view.service(namespace, name);
  return service === undefined ? [] : await view.podsWith(namespace, service.selector);
}
