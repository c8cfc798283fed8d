import type { Config } from './config/schema.ts';
import { type CloudIdentities, cloudPackages, createCloudIdentities } from './registry/cloud/identities.ts';
import type { ProxyOptions } from './registry/http/proxy.ts';
import { createLimitedLines } from './telemetry/log-limits.ts';
import { CommandError } from './terminal/io.ts';
import { systemClock } from './util/clock.ts';

export interface IdentitiesOptions {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  /** The text of `detection.registry.caFile`. */
  readonly ca?: string;
  /** For the registries themselves. */
  readonly proxy?: ProxyOptions | undefined;
  /** For logins that cannot be had; holds none of them. */
  readonly warn: (message: string) => void;
}

/** Whether Node finds a package from here. Nothing of it is loaded. */
function isInstalled(name: string): boolean {
  try {
    return import.meta.resolve(name) !== '';
  } catch {
    return false;
  }
}

/**
 * The logins of the webhook's own cloud identities; undefined where none is configured. Throws `CommandError` where a
 * cloud's package is not there: at the start, for later it would be one warning among many.
 */
export function composeIdentities({ detection }: Config, options: IdentitiesOptions): CloudIdentities | undefined {
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
    onProblem: createLimitedLines(options.warn, systemClock.monotonic),
  });
}
