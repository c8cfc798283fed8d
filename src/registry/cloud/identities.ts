import { lookup } from 'node:dns/promises';

import type { Clock } from '../../util/clock.ts';
import type { CredentialSource } from '../auth/credentials.ts';
import { authorityOf } from '../hosts/pattern.ts';
import { createHostRules, type HostLists, type HostRules } from '../hosts/rules.ts';
import { createDispatcher, type Resolve, trustContext } from '../http/dispatcher.ts';
import { createExchange, type Exchange } from '../http/exchange.ts';
import { createHostStates } from '../http/host-state.ts';
import { defaultLimits } from '../http/limits.ts';
import { createRegistryProxy, type ProxyOptions } from '../http/proxy.ts';
import { elasticRegistryLogin } from './aws.ts';
import { azureRegistryLogin } from './azure.ts';
import { googleRegistryLogin } from './google.ts';
import { type Cloud, cloudRegistry, type CloudRegistry } from './hosts.ts';
import { createCloudLogins, type GetCloudLogin } from './logins.ts';

/** The npm package that each cloud's logins need: no part of the bundle, and loaded with the first login. */
export const cloudPackages: Readonly<Record<Cloud, string>> = {
  aws: '@aws-sdk/client-ecr',
  google: 'google-auth-library',
  azure: '@azure/identity',
};

export interface CloudIdentitiesOptions extends HostLists {
  /** The clouds whose registries get our own identity's login. */
  readonly clouds: readonly Cloud[];
  /** As the SDKs have it, which read the process's own: `process.env`. */
  readonly environment: NodeJS.ProcessEnv;
  readonly concurrency: number;
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string;
  /** For the exchange of tokens with a registry; the clouds' own endpoints are called as their SDKs have it. */
  readonly proxy?: ProxyOptions | undefined;
  readonly userAgent: string;
  readonly clock: Clock;
  /** Default: the system's, as `getaddrinfo` has it. */
  readonly resolve?: Resolve;
  /** Told what went wrong with a login, in words that hold none. */
  readonly onProblem: (message: string) => void;
}

export interface CloudIdentities extends CredentialSource {
  readonly close: () => Promise<void>;
}

/**
 * Logins of the webhook's own identity, for registries of the clouds given and for no other host. They are kept until
 * shortly before they expire; look-ups that need one at the same time share it; a refusal is remembered for half a minute.
 * Throws a RangeError as `createRegistryClient` does.
 */
export function createCloudIdentities(options: CloudIdentitiesOptions): CloudIdentities {
  const { clouds, clock } = options;
  const logins = createCloudLogins(options);
  const rules = createHostRules(options, []);
  const { exchange, close } = openExchange(options, rules);
  const loginFor = (registry: CloudRegistry, host: string, repository: string): GetCloudLogin => {
    if (registry.cloud === 'aws') return async (signal) => await elasticRegistryLogin(registry, signal);
    if (registry.cloud === 'google') {
      return async () => await googleRegistryLogin(options.environment, clock);
    }
    const listedOnly = rules.admittedByAddress(authorityOf(new URL(`https://${host}`)), repository);
    const parts = { ...options, exchange, limits: defaultLimits };
    return async (signal) => await azureRegistryLogin({ host, listedOnly }, parts, signal);
  };
  return {
    async find(host, repository) {
      const registry = cloudRegistry(host);
      if (registry === undefined || !clouds.includes(registry.cloud)) return [];
      const credential = await logins.get(keyOf(registry, host), loginFor(registry, host, repository));
      return credential === undefined ? [] : [credential];
    },
    close,
  };
}

/** What one login is good for; it begins what is said about it. */
function keyOf(registry: CloudRegistry, host: string): string {
  const prefix = `detection.registry.identities: ${registry.cloud}`;
  if (registry.cloud === 'google') return prefix;
  return registry.cloud === 'azure'
    ? `${prefix} ${host}`
    : `${prefix} ${registry.region}${registry.fips ? ' fips' : ''}`;
}

/** For the exchange of tokens with a registry that a Pod has named: under the rules that hold for every registry. */
function openExchange(
  options: CloudIdentitiesOptions,
  rules: HostRules,
): { exchange: Exchange; close: () => Promise<void> } {
  const limits = defaultLimits;
  const resolve: Resolve = options.resolve ?? (async (hostname) => await lookup(hostname, { all: true }));
  const { clock, userAgent } = options;
  const secureContext = trustContext(options.ca);
  const proxy = options.proxy && createRegistryProxy(options.proxy, { limits, secureContext, userAgent });
  const shared = { rules, resolve, limits, secureContext, proxy };
  const anywhere = createDispatcher({ ...shared, listedOnly: false });
  const listed = createDispatcher({ ...shared, listedOnly: true });
  const hosts = createHostStates({ ...options, limits });
  const dispatcher = (listedOnly: boolean) => (listedOnly ? listed : anywhere);
  return {
    exchange: createExchange({ rules, limits, clock, userAgent, hosts, dispatcher }),
    close: async () => {
      await Promise.all([anywhere.destroy(), listed.destroy()]);
    },
  };
}
