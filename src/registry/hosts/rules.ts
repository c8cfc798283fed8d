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

/** Lists as the configuration's `detection.registry` has them. */
export interface HostLists {
  /** Registries whose images may be looked at; empty: all. */
  readonly allow: readonly string[];
  /** Never contacted, in whatever role; wins over `allow`. */
  readonly deny: readonly string[];
  /**
   * Spoken to in plain HTTP: `host[:port]`, the same with `http://`. With `https://` in front: in TLS, whoever holds the
   * certificate. There is no trying of one and falling back to the other, which an attacker on the path could force.
   */
  readonly insecure: readonly string[];
  readonly allowPrivateAddresses: boolean;
}

/** How a host is spoken to. */
interface Transport {
  readonly protocol: 'http:' | 'https:';
  readonly verify: boolean;
}

/** What the operator lets us connect to. All methods answer undefined, or with why not in a few words. */
export interface HostRules {
  /** Whether images of this repository may be looked at. */
  refuseRepository(authority: Authority, repository: string): string | undefined;
  /** Whether any connection to this host name may be made: registry, mirror, token server or redirect. */
  refuseHost(authority: Authority): string | undefined;
  /**
   * Whether this address, which `authority` resolved to, may be connected to. `listedOnly`: it has to lie in one of the
   * networks of `allow`, for that is all that admits the image.
   */
  refuseAddress(authority: Authority, address: string, listedOnly: boolean): string | undefined;
  /** Whether a host may be asked whose address nobody here will know, for a proxy looks it up. */
  refuseUnresolved(authority: Authority, listedOnly: boolean): string | undefined;
  /** Whether only the networks of `allow` admit images of this repository. */
  admittedByAddress(authority: Authority, repository: string): boolean;
  transport(authority: Authority): Transport;
}

interface Insecure extends Transport {
  readonly pattern: HostPattern;
}

/** Puts the lists together; `mirrors` are the hosts of configured mirrors. Throws a RangeError for an entry that is no pattern. */
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

/** Undefined where `host` is a name. */
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
