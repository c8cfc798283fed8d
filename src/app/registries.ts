import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { registryProxy } from '../config/registry-proxy.ts';
import type { Config } from '../config/schema.ts';
import { ImageSourceError } from '../detection/image-source.ts';
import { credentialHelper } from '../registry/auth/credential-helper.ts';
import { combineCredentials, type CredentialSource, listedCredentials } from '../registry/auth/credentials.ts';
import { dockerConfigCredentials, parseDockerConfig } from '../registry/auth/docker-config.ts';
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../registry/client.ts';
import { type CloudIdentities, cloudPackages, createCloudIdentities } from '../registry/cloud/identities.ts';
import type { ProxyOptions } from '../registry/http/proxy.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import { fileProblem } from '../util/files.ts';

/** The text of the files that a configuration names. They are read once, at the start. */
export interface RegistryFiles {
  /** Of `detection.registry.caFile`. */
  readonly ca?: string;
  readonly dockerConfig?: { readonly path: string; readonly text: string };
}

interface FilesOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** Set for a person at a command line, who may use their own docker config. */
  readonly person?: object | undefined;
}

/** Reads the files that a configuration names. Rejects with `CommandError` if one cannot be read. */
export async function readRegistryFiles({ detection }: Config, options: FilesOptions): Promise<RegistryFiles> {
  const { caFile, dockerConfig } = detection.registry;
  const ca = caFile === '' ? undefined : await fileText(caFile, 'detection.registry.caFile');
  const standard = options.person === undefined ? undefined : standardDockerConfig(options.environment);
  const path = dockerConfig || standard;
  const text =
    dockerConfig !== ''
      ? await fileText(dockerConfig, 'detection.registry.dockerConfig')
      : standard && (await readFile(standard, 'utf8').catch(() => undefined));
  return { ...(ca !== undefined && { ca }), ...(path && text && { dockerConfig: { path, text } }) };
}

async function fileText(path: string, key: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CommandError('usage', `${key}: ${path}: ${fileProblem(error)}`, { cause: error });
  }
}

/** Returns the path of Docker's own config file (docker-cli, cli/config/config.go). */
function standardDockerConfig(environment: NodeJS.ProcessEnv): string | undefined {
  const folder = environment['DOCKER_CONFIG'] ?? (environment['HOME'] && join(environment['HOME'], '.docker'));
  return folder ? join(folder, 'config.json') : undefined;
}

interface RegistriesOptions {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly files: RegistryFiles;
  /** Set for a person at a command line: allows docker's credential helpers, and the registries on this machine that `images` names. */
  readonly person?: { readonly images: readonly string[] } | undefined;
  readonly onBreaker: NonNullable<RegistryClientOptions['onBreaker']>;
  /** Reports what is wrong with a login, in words that hold no secret. */
  readonly onProblem: (message: string) => void;
}

/**
 * Opens the registry client. It tries the configured logins first, then our own cloud identities. Throws `CommandError` if a
 * list, file or mirror is invalid.
 */
export function openRegistries(config: Config, options: RegistriesOptions): RegistryClient {
  const { caFile: _path, dockerConfig: _config, proxy: _withoutLogin, ...lists } = config.detection.registry;
  const proxy = registryProxy(config, options.environment);
  const local = localRegistries(options.person?.images ?? []);
  const { ca } = options.files;
  const own = { ...(ca !== undefined && { ca }), proxy };
  const configured = openCredentials(options);
  try {
    const identities = openIdentities(config, options, own);
    const client = createRegistryClient({
      ...lists,
      ...own,
      insecure: [...lists.insecure, ...local],
      credentials: identities === undefined ? configured : combineCredentials([configured, identities]),
      userAgent: `libc-dns-webhook/${options.version}`,
      clock: systemClock,
      threads: Number(options.environment['UV_THREADPOOL_SIZE']) || 4,
      onBreaker: options.onBreaker,
    });
    const close = async (): Promise<void> => {
      await Promise.all([client.close(), identities?.close()]);
    };
    return { ...client, close };
  } catch (error) {
    throw asConfigError(error);
  }
}

function openCredentials({ files, person, environment, onProblem }: RegistriesOptions): CredentialSource {
  if (files.dockerConfig === undefined) return listedCredentials([]);
  const { path, text } = files.dockerConfig;
  const config = parseDockerConfig(text);
  for (const problem of config.problems) onProblem(`${path}: ${problem}`);
  const helper = person === undefined ? {} : { helper: credentialHelper(environment) };
  return dockerConfigCredentials(config, { ...helper, onProblem });
}

/** Returns `localhost:5000` of `localhost:5000/app`: Docker and crane speak plain HTTP to registries on this machine. */
function localRegistries(images: readonly string[]): string[] {
  const hosts = images.map((image) => image.split('/', 1)[0] ?? '');
  return hosts.filter((host) => /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host));
}

/** Turns a RangeError or `ImageSourceError`, from a list, a file or a mirror, into an error of the configuration. */
function asConfigError(error: unknown): unknown {
  if (!(error instanceof RangeError || error instanceof ImageSourceError)) return error;
  return new CommandError('usage', `detection.registry: ${error.message}`, { cause: error });
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
function openIdentities(
  { detection }: Config,
  { version, environment, onProblem }: RegistriesOptions,
  own: { readonly ca?: string; readonly proxy: ProxyOptions | undefined },
): CloudIdentities | undefined {
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
    ...own,
    clouds: identities,
    environment,
    userAgent: `libc-dns-webhook/${version}`,
    clock: systemClock,
    onProblem,
  });
}
