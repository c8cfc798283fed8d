import type { CredentialSource } from '../auth/credentials.ts';
import { authorityOf } from '../hosts/pattern.ts';
import { createHostRules, type HostLists } from '../hosts/rules.ts';
import { defaultLimits } from '../http/limits.ts';
import { createTransport, type TransportOptions } from '../http/transport.ts';
import { elasticRegistryLogin } from './aws.ts';
import { azureRegistryLogin } from './azure.ts';
import { googleRegistryLogin } from './google.ts';
import { type Cloud, cloudRegistry, type CloudRegistry } from './hosts.ts';
import { createCloudLogins, type GetCloudLogin } from './logins.ts';

/** The npm package for each cloud's logins: not in the bundle, loaded with the first login. */
export const cloudPackages: Readonly<Record<Cloud, string>> = {
  aws: '@aws-sdk/client-ecr',
  google: 'google-auth-library',
  azure: '@azure/identity',
};

/** The transport is for the exchange of tokens with a registry. The SDKs call the clouds' own endpoints their own way. */
export interface CloudIdentitiesOptions extends HostLists, TransportOptions {
  /** The clouds to whose registries we log in with our own identity. */
  readonly clouds: readonly Cloud[];
  /** Give `process.env`, because the SDKs read that themselves. */
  readonly environment: NodeJS.ProcessEnv;
  /** Reports a failed login, in words that hold no secret. */
  readonly onProblem: (message: string) => void;
}

interface Login {
  /** Names the registries that share the login; also the beginning of messages about it. */
  readonly key: string;
  readonly get: GetCloudLogin;
}

export interface CloudIdentities extends CredentialSource {
  readonly close: () => Promise<void>;
}

/**
 * Returns logins of the webhook's own identity, for registries of the given clouds only. Keeps a login until shortly
 * before it expires, and a refusal for half a minute; look-ups at the same time share one request. Throws a RangeError
 * like `createRegistryClient`.
 */
export function createCloudIdentities(options: CloudIdentitiesOptions): CloudIdentities {
  const { clouds, clock } = options;
  const logins = createCloudLogins(options);
  const rules = createHostRules(options, []);
  // A Pod has named the registry, so the rules for all registries apply.
  const { exchange, close } = createTransport(options, rules, defaultLimits);
  const loginTo = (registry: CloudRegistry, host: string, repository: string): Login => {
    const key = `detection.registry.identities: ${registry.cloud}`;
    switch (registry.cloud) {
      case 'aws': {
        const { region, fips } = registry;
        const get: GetCloudLogin = async (signal) => await elasticRegistryLogin(registry, signal);
        return { key: `${key} ${region}${fips ? ' fips' : ''}`, get };
      }
      case 'google':
        return { key, get: async () => await googleRegistryLogin(options.environment, clock) };
      case 'azure': {
        const listedOnly = rules.admittedByAddress(authorityOf(new URL(`https://${host}`)), repository);
        const parts = { ...options, exchange, limits: defaultLimits };
        return {
          key: `${key} ${host}`,
          get: async (signal) => await azureRegistryLogin({ host, listedOnly }, parts, signal),
        };
      }
      default:
        return registry satisfies never;
    }
  };
  return {
    async find(host, repository) {
      const registry = cloudRegistry(host);
      if (registry === undefined || !clouds.includes(registry.cloud)) return [];
      const { key, get } = loginTo(registry, host, repository);
      const credential = await logins.get(key, get);
      return credential === undefined ? [] : [credential];
    },
    close,
  };
}
