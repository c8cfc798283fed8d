import {
  type AddressRules,
  contains,
  type Network,
  parseAddress,
  parseNetwork,
  refusal,
  refusedName,
} from './address.ts';
import { type Authority, type HostPattern, matchesHost, matchesRepository, parseHostPattern } from './pattern.ts';

/** The lists of the configuration's `detection.registry`. */
export interface HostLists {
  /** Registries whose images may be read; empty for all. */
  readonly allow: readonly string[];
  /** Hosts never contacted, in any role; wins over `allow`. */
  readonly deny: readonly string[];
  /**
   * Hosts without verified TLS: plain HTTP for `host[:port]` or `http://host[:port]`, TLS with any certificate for
   * `https://host[:port]`. There is no fallback from one to the other, because an attacker on the path could force it.
   */
  readonly insecure: readonly string[];
  readonly allowPrivateAddresses: boolean;
}

/** How to connect to a host. */
interface Transport {
  readonly protocol: 'http:' | 'https:';
  readonly verify: boolean;
}

/**
 * The operator's rules about hosts. The `refuse…` methods return the reason in a few words; undefined if they allow it.
 */
export interface HostRules {
  /** Decides whether images of this repository may be read. */
  refuseRepository(authority: Authority, repository: string): string | undefined;
  /** Decides whether this host name may be contacted at all: as registry, mirror, token server or after a redirect. */
  refuseHost(authority: Authority): string | undefined;
  /**
   * Decides whether to connect to this address of `authority`. `listedOnly`: it must be in one of the networks of
   * `allow`, because nothing else admits the image.
   */
  refuseAddress(authority: Authority, address: string, listedOnly: boolean): string | undefined;
  /** Decides whether to contact a host through a proxy, which looks the address up itself. */
  refuseUnresolved(authority: Authority, listedOnly: boolean): string | undefined;
  /** Reports whether only the networks of `allow` admit images of this repository. */
  admittedByAddress(authority: Authority, repository: string): boolean;
  transport(authority: Authority): Transport;
}

interface Insecure extends Transport {
  readonly pattern: HostPattern;
}

/**
 * Makes the rules from the lists. `mirrors` are the hosts of configured mirrors. Throws a RangeError for an invalid
 * entry.
 */
export function createHostRules(lists: HostLists, mirrors: readonly Authority[]): HostRules {
  const allow = lists.allow.map(parseHostPattern);
  const deny = lists.deny.map(parseHostPattern);
  const insecure = lists.insecure.map(parseInsecure);
  const allowedNetworks = allow.flatMap(networkOf);
  const named = [...allow, ...insecure.map(({ pattern }) => pattern)].filter((pattern) => !isWildcard(pattern));
  const addresses: AddressRules = {
    allowPrivateAddresses: lists.allowPrivateAddresses,
    exempt: [...allowedNetworks, ...insecure.flatMap(({ pattern }) => networkOf(pattern))],
    denied: [...deny.flatMap(networkOf), ...lists.deny.flatMap((text) => parseNetwork(text) ?? [])],
  };
  const isMirror = ({ hostname, port }: Authority) =>
    mirrors.some((mirror) => mirror.hostname === hostname && mirror.port === port);
  const isTrusted = (authority: Authority) =>
    isMirror(authority) || named.some((pattern) => matchesHost(pattern, authority));
  const admitted = (authority: Authority, repository: string) =>
    allow.length === 0 || namedIn(allow, authority, repository);
  const refuseAddress = (authority: Authority, address: string, listedOnly: boolean): string | undefined =>
    listedOnly && isIn(allowedNetworks, address) !== true
      ? 'not in the list of allowed registries'
      : refusal(addresses, address, isTrusted(authority));
  return {
    refuseRepository(authority, repository) {
      if (namedIn(deny, authority, repository)) return 'it is denied';
      const byAddress = isIn(allowedNetworks, authority.hostname) ?? allowedNetworks.length > 0;
      return admitted(authority, repository) || byAddress ? undefined : 'it is not in the list of allowed registries';
    },
    refuseHost: (authority) => (deny.some((entry) => isWholeHost(entry, authority)) ? 'it is denied' : undefined),
    refuseAddress,
    refuseUnresolved(authority, listedOnly) {
      if (parseAddress(authority.hostname) !== undefined) {
        return refuseAddress(authority, authority.hostname, listedOnly);
      }
      if (listedOnly) return 'networks of detection.registry.allow cannot admit what a proxy looks up';
      return isTrusted(authority) ? undefined : refusedName(authority.hostname);
    },
    admittedByAddress: (authority, repository) => !admitted(authority, repository),
    transport: (authority) =>
      insecure.find(({ pattern }) => matchesHost(pattern, authority)) ?? { protocol: 'https:', verify: true },
  };
}

function namedIn(patterns: readonly HostPattern[], authority: Authority, repository: string): boolean {
  return patterns.some((pattern) => matchesHost(pattern, authority) && matchesRepository(pattern, repository));
}

/** Reports whether one of the networks contains `host`; undefined if `host` is a name. */
function isIn(networks: readonly Network[], host: string): boolean | undefined {
  const address = parseAddress(host);
  return address === undefined ? undefined : networks.some((network) => contains(network, address));
}

function parseInsecure(text: string): Insecure {
  const scheme = /^(https?:)\/\//.exec(text)?.[1];
  const pattern = parseHostPattern(text.replace(/^https?:\/\//, '').replace(/\/$/, ''));
  return { pattern, protocol: scheme === 'https:' ? 'https:' : 'http:', verify: false };
}

function networkOf(pattern: HostPattern): Network[] {
  return pattern.kind === 'network' ? [pattern.network] : [];
}

function isWildcard(pattern: HostPattern): boolean {
  return pattern.kind === 'network' || pattern.wildcard;
}

function isWholeHost(pattern: HostPattern, authority: Authority): boolean {
  const whole = pattern.kind === 'network' || (pattern.repository.length === 0 && !pattern.below);
  return whole && matchesHost(pattern, authority);
}
