import { ConfigError, loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/schema.ts';
import type { Labels } from '../../kubernetes/objects.ts';
import type { DeploymentSeen, MountSeen, WebhookConfiguration, WebhookEntry } from '../view/view.ts';

/** The Service that the API server calls. */
export type Target = NonNullable<WebhookEntry['service']>;

/** The Service of our entries: the one in `namespace`, where several releases are installed, else the first. */
export function targetOf(ours: readonly WebhookConfiguration[], namespace: string | undefined): Target | undefined {
  const services = ours.flatMap(({ entries }) => entries.flatMap(({ service }) => service ?? []));
  return services.find((service) => service.namespace === namespace) ?? services[0];
}

/** Whether all of `selector` are among the labels; an empty selector chooses nothing (core/v1 ServiceSpec). */
export function chooses(selector: Labels, labels: Labels): boolean {
  const wanted = Object.entries(selector);
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

/** The path after `--config`. */
function configFile({ words }: DeploymentSeen): string | undefined {
  const at = words.indexOf('--config');
  if (at !== -1) return words[at + 1];
  return words.find((word) => word.startsWith('--config='))?.slice('--config='.length);
}

function mountOf(mounts: readonly MountSeen[], kind: MountSeen['kind'], path: string): MountSeen | undefined {
  return mounts.find((mount) => mount.kind === kind && path.startsWith(`${mount.path.replace(/\/$/, '')}/`));
}

/** The ConfigMap and the key of it that a Deployment reads its configuration from. */
export function configMapOf(deployment: DeploymentSeen): { readonly name: string; readonly key: string } | undefined {
  const file = configFile(deployment) ?? deployment.environment['LIBC_DNS_CONFIG'];
  const mount = file === undefined ? undefined : mountOf(deployment.mounts, 'configMap', file);
  if (file === undefined || mount === undefined) return undefined;
  return { name: mount.name, key: file.slice(file.lastIndexOf('/') + 1) };
}

/** The Secret that the serving certificate lies in: the shared CA's own, or the one that is mounted. */
export function certificateSecretOf(
  { tls }: Pick<Config, 'tls'>,
  deployment: DeploymentSeen | undefined,
): string | undefined {
  if (tls.mode === 'self-managed') return tls.secret;
  return deployment && mountOf(deployment.mounts, 'secret', tls.certFile)?.name;
}

/** The webhook's configuration, and where it stands. */
export interface WebhookConfig {
  readonly config: Config;
  readonly from: string;
  /** Why what stands there is not used. */
  readonly problems: readonly string[];
  /** Why it could not be read: then it is as if there were none. */
  readonly unread?: unknown;
}

interface ConfigText {
  readonly from: string;
  readonly text: string;
  /** Of the webhook's container. */
  readonly environment: Labels;
}

/** Reads the webhook's own configuration; where it is not valid, `fallback` with the problems. */
export function readConfig({ from, text, environment }: ConfigText, fallback: Config): WebhookConfig {
  try {
    const { config } = loadConfig({ file: { name: from, text }, environment, flags: [] });
    return { config, from, problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: fallback, from: 'defaults', problems: error.problems };
  }
}
