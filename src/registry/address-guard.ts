import { contains, embeddedAddresses, parseAddress, parseNetwork, type Address, type Network } from './ip-address.ts';

interface Range {
  readonly network: Network;
  readonly what: string;
}

const ranges = (what: string, ...networks: string[]): Range[] =>
  networks.map((text) => ({ network: parseNetwork(text) ?? { address: [], bits: 0 }, what }));

// Single addresses stand before the ranges they lie in, so that a message names the most telling of the two. AWS, GCP,
// Azure, Alibaba, Oracle, Linode, Scaleway, Equinix and Tencent document theirs; the rest use 169.254.169.254.
const alwaysRefused: readonly Range[] = [
  ...ranges('cloud metadata', '169.254.169.254', '168.63.129.16', '100.100.100.200', '192.0.0.192', '192.80.8.124'),
  ...ranges(
    'cloud metadata',
    'fd00:ec2::/32',
    'fd20:ce::254',
    'fd00:c1::a9fe:a9fe',
    'fd00:a9fe:a9fe::1',
    'fd00:42::42',
  ),
  ...ranges('cloud metadata', 'fe80::a9fe:a9fe', '169.254.169.253', '169.254.170.2', '169.254.170.23', '169.254.0.23'),
  ...ranges('loopback', '127.0.0.0/8', '::1'),
  ...ranges('unspecified', '0.0.0.0/8', '::'),
  ...ranges('link-local', '169.254.0.0/16', 'fe80::/10'),
  ...ranges('multicast', '224.0.0.0/4', 'ff00::/8'),
  ...ranges('reserved', '240.0.0.0/4', '192.0.0.0/24', '100::/64'),
];

// RFC 1918, RFC 6598 (carrier NAT), RFC 4193, RFC 2544 and the old site-local range.
const privateRanges = [
  ...ranges('private', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '198.18.0.0/15'),
  ...ranges('private', 'fc00::/7', 'fec0::/10'),
];

// Names that clouds give their metadata services.
const metadataNames = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
  'metadata.platformequinix.com',
  'instance-data',
  'instance-data.ec2.internal',
]);

/** Why a name may not be handed to somebody who looks it up elsewhere; undefined: as far as a name tells, it may. */
export function refusedName(hostname: string): string | undefined {
  if (metadataNames.has(hostname)) return 'cloud metadata';
  return hostname === 'localhost' || hostname.endsWith('.localhost') ? 'loopback' : undefined;
}

/** What an operator has said about addresses. */
export interface AddressRules {
  readonly allowPrivateAddresses: boolean;
  /** Addresses that are let through although they are loopback, link-local or the like. */
  readonly exempt: readonly Network[];
  /** Addresses never connected to; wins over everything. */
  readonly denied: readonly Network[];
}

/**
 * Why no connection may be made to an address, in a word or two for a message; undefined when one may. IPv6 addresses
 * that carry an IPv4 address (mapped, NAT64, 6to4, Teredo, ISATAP) are judged by both. `trusted`: the operator has named
 * the very host that resolved to this address, so only `denied` counts.
 *
 * An exempt network lifts a rule only where it is at least as narrow as the range that the rule names: `127.0.0.0/8` opens
 * loopback, `0.0.0.0/0` opens none of them.
 */
export function refusal(rules: AddressRules, text: string, trusted: boolean): string | undefined {
  const address = parseAddress(text);
  if (address === undefined) return 'not an IP address';
  for (const candidate of [address, ...embeddedAddresses(address)]) {
    const why = refusalOf(rules, candidate, trusted);
    if (why !== undefined) return why;
  }
  return undefined;
}

function refusalOf(rules: AddressRules, address: Address, trusted: boolean): string | undefined {
  if (rules.denied.some((network) => contains(network, address))) return 'denied';
  if (trusted) return undefined;
  const refused = rules.allowPrivateAddresses ? alwaysRefused : [...alwaysRefused, ...privateRanges];
  const range = refused.find(({ network }) => contains(network, address));
  if (range === undefined) return undefined;
  const exempt = rules.exempt.some((network) => network.bits >= range.network.bits && contains(network, address));
  return exempt ? undefined : range.what;
}
