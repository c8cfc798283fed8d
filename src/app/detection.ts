import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { registryProxy } from '../config/registry-proxy.ts';
import type { Config } from '../config/schema.ts';
import type { OpenDetector } from '../detection/detector.ts';
import { createImageDetector } from '../detection/image-detector.ts';
import { ImageSourceError, type ImageSources } from '../detection/image-source.ts';
import type { VerdictStore } from '../detection/verdict-store.ts';
import { createInspector } from '../inspection/inspect.ts';
import { admissionLimits, backgroundScanLimits, pooledBytes } from '../inspection/limits.ts';
import { credentialHelper } from '../registry/auth/credential-helper.ts';
import { combineCredentials, type CredentialSource, listedCredentials } from '../registry/auth/credentials.ts';
import { dockerConfigCredentials, parseDockerConfig } from '../registry/auth/docker-config.ts';
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../registry/client.ts';
import { type CloudIdentities, cloudPackages, createCloudIdentities } from '../registry/cloud/identities.ts';
import type { ProxyOptions } from '../registry/http/proxy.ts';
import { openOciLayout, parseLayoutReference } from '../registry/oci-layout.ts';
import { canonicalName } from '../registry/reference.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import { CommandError } from '../terminal/io.ts';
import { createBytePool } from '../util/budget.ts';
import { systemClock } from '../util/clock.ts';
import { messageOf } from '../util/text.ts';

interface DetectionOptions {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
  /** Verdicts shared with other replicas. Its creator closes it. */
  readonly store?: VerdictStore;
  /**
   * Set for a person at a command line: allows their own docker config and its helpers, OCI layouts, and the registries on
   * this machine that `images` names. Absent for the server, where others choose the images.
   */
  readonly person?: { readonly images: readonly string[] };
}

/** Opens the detector that a configuration describes. Rejects with `CommandError` if a list, file or mirror in it is invalid. */
export async function openDetector(config: Config, options: DetectionOptions): Promise<OpenDetector> {
  const client = await openClient(config, options);
  const { enabled } = config.detection.registry;
  const layouts = options.person?.images.some((image) => image.startsWith('oci:')) ?? false;
  if (!enabled && !layouts && options.store === undefined) {
    await client.close();
    return { close: async () => {} };
  }
  const registries = enabled ? client : { open: offline, canonical: canonicalName };
  const { entries, tagTtl, failureTtl } = config.detection.cache;
  const pool = createBytePool(pooledBytes);
  const detector = createImageDetector({
    // Only image names that a person typed may read their disk: names in manifests and clusters come from others.
    sources: layouts ? withLayouts(registries) : registries,
    inspect: createInspector(admissionLimits, pool),
    // Only for the server: a person waits for the answer, and has no use for a later scan.
    ...(options.person === undefined && { inspectInBackground: createInspector(backgroundScanLimits, pool) }),
    entries,
    tagTtlMs: tagTtl,
    failureTtlMs: failureTtl,
    clock: systemClock,
    ...(options.store && { store: options.store }),
    reporter: options.reporter,
  });
  return {
    detector,
    stats: () => detector.stats(),
    close: async () => {
      await detector.close();
      await client.close();
    },
  };
}

async function fileText(path: string, key: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CommandError('usage', `${key}: ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** Returns the path of Docker's own config file (docker-cli, cli/config/config.go). */
function standardDockerConfig(environment: NodeJS.ProcessEnv): string | undefined {
  const folder = environment['DOCKER_CONFIG'] ?? (environment['HOME'] && join(environment['HOME'], '.docker'));
  return folder ? join(folder, 'config.json') : undefined;
}

async function openCredentials(path: string, options: DetectionOptions): Promise<CredentialSource> {
  const standard = options.person === undefined ? undefined : standardDockerConfig(options.environment);
  const text =
    path !== ''
      ? await fileText(path, 'detection.registry.dockerConfig')
      : standard && (await readFile(standard, 'utf8').catch(() => undefined));
  if (!text) return listedCredentials([]);
  const config = parseDockerConfig(text);
  const { log } = options.reporter;
  for (const problem of config.problems) log.warn(`${path || standard}: ${problem}`);
  const helper = options.person === undefined ? {} : { helper: credentialHelper(options.environment) };
  return dockerConfigCredentials(config, { ...helper, onProblem: (message) => log.warn(message) });
}

/** Returns `localhost:5000` of `localhost:5000/app`: Docker and crane speak plain HTTP to registries on this machine. */
function localRegistries(images: readonly string[]): string[] {
  const hosts = images.map((image) => image.split('/', 1)[0] ?? '');
  return hosts.filter((host) => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host));
}

/** Refuses every image: used in place of the registries if the registry look-up is off. */
function offline(reference: string): never {
  throw new ImageSourceError(
    'forbidden-host',
    `${reference} is not looked up: the registry look-up is off (--offline)`,
  );
}

/** Adds references of the form `oci:DIR[:TAG]` to a client. */
function withLayouts(client: ImageSources): ImageSources {
  return {
    open: (text) => {
      const layout = parseLayoutReference(text);
      return layout === undefined ? client.open(text) : openOciLayout(layout);
    },
    canonical: (text) => {
      const layout = parseLayoutReference(text);
      return layout === undefined ? client.canonical(text) : `oci:${resolve(layout.directory)}:${layout.tag ?? ''}`;
    },
  };
}

/** Turns a RangeError or `ImageSourceError`, from a list, a file or a mirror, into an error of the configuration. */
function asConfigError(error: unknown): unknown {
  if (!(error instanceof RangeError || error instanceof ImageSourceError)) return error;
  return new CommandError('usage', `detection.registry: ${error.message}`, { cause: error });
}

/** Opens the registry client. It tries the configured logins first, then our own cloud identities. */
async function openClient(config: Config, options: DetectionOptions): Promise<RegistryClient> {
  const { caFile, dockerConfig, proxy: _withoutLogin, ...lists } = config.detection.registry;
  const proxy = registryProxy(config, options.environment);
  const local = localRegistries(options.person?.images ?? []);
  const ca = caFile !== '' && { ca: await fileText(caFile, 'detection.registry.caFile') };
  const configured = await openCredentials(dockerConfig, options);
  try {
    const identities = openIdentities(config, { ...options, ...ca, proxy });
    const client = createRegistryClient({
      ...lists,
      ...ca,
      proxy,
      insecure: [...lists.insecure, ...local],
      credentials: identities === undefined ? configured : combineCredentials([configured, identities]),
      userAgent: `libc-dns-webhook/${options.version}`,
      clock: systemClock,
      threads: Number(options.environment['UV_THREADPOOL_SIZE']) || 4,
      onBreaker: reportBreaker(options.reporter),
    });
    const close = async (): Promise<void> => {
      await Promise.all([client.close(), identities?.close()]);
    };
    return { ...client, close };
  } catch (error) {
    throw asConfigError(error);
  }
}

/** Reports registries that are left alone. Their names go to the log only, not into metrics, for Pods choose them. */
function reportBreaker({ metrics, warnings }: Reporter): NonNullable<RegistryClientOptions['onBreaker']> {
  const warn = warnings();
  return ({ host, repository, leadsTo, state }) => {
    const name = [repository === undefined ? host : `${host}/${repository}`, leadsTo]
      .filter(Boolean)
      .join(' by way of ');
    metrics.detection.breaker(name, state);
    if (state === 'open') warn(`${name} keeps failing and is left alone for a while`);
  };
}

/** Logs the proxy for registries: the environment may set one unexpectedly. */
export function reportProxy(config: Config, environment: NodeJS.ProcessEnv, { log }: Reporter): void {
  const proxy = registryProxy(config, environment);
  if (proxy === undefined) return;
  const { address, noProxy, origin } = proxy;
  log.info({ proxy: address, noProxy, from: origin }, 'registries are asked through a proxy');
}

interface IdentitiesOptions {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  /** The text of `detection.registry.caFile`. */
  readonly ca?: string;
  /** The proxy for registries. */
  readonly proxy?: ProxyOptions | undefined;
  readonly reporter: Reporter;
}

/** Reports whether Node finds a package, without loading it. */
function isInstalled(name: string): boolean {
  try {
    return import.meta.resolve(name) !== '';
  } catch {
    return false;
  }
}

/**
 * Opens the logins of the webhook's own cloud identities; undefined if no identity is configured. Throws `CommandError` if
 * a cloud's package is missing: at the start, for later it would be one warning among many.
 */
function openIdentities({ detection }: Config, options: IdentitiesOptions): CloudIdentities | undefined {
  const { identities, proxy: _withoutLogin, noProxy: _, ...lists } = detection.registry;
  if (identities.length === 0 || !lists.enabled) return undefined;
  const missing = identities.filter((cloud) => !isInstalled(cloudPackages[cloud]));
  if (missing.length > 0) {
    const names = missing.map((cloud) => cloudPackages[cloud]).join(' ');
    const message = `detection.registry.identities: ${missing.join(', ')}: not installed: ${names}`;
    throw new CommandError(
      'usage',
      `${message}. Add it to the image as docs/pull-secrets.md shows: npm install ${names}`,
    );
  }
  return createCloudIdentities({
    ...lists,
    clouds: identities,
    environment: options.environment,
    ...(options.ca !== undefined && { ca: options.ca }),
    proxy: options.proxy,
    userAgent: `libc-dns-webhook/${options.version}`,
    clock: systemClock,
    onProblem: options.reporter.warnings(),
  });
}
