import { isIP } from 'node:net';

/** An IP address as its bytes: 4 for IPv4, 16 for IPv6. */
export type Address = readonly number[];

/** A range of addresses, for example `10.0.0.0/8`. */
export interface Network {
  readonly address: Address;
  /** Length of the prefix. */
  readonly bits: number;
}

/**
 * Reads an address in its usual spelling, with or without brackets and zone (`fe80::1%eth0`). Undefined for odd
 * spellings such as `127.1`; `URL` brings them into the usual form first.
 */
export function parseAddress(text: string): Address | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1').split('%', 1)[0] ?? '';
  const family = isIP(bare);
  if (family === 4) return bare.split('.').map(Number);
  return family === 6 ? parseV6(bare) : undefined;
}

function parseV6(text: string): Address {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const [a = 0, b = 0, c = 0, d = 0] = dotted?.[2]?.split('.').map(Number) ?? [];
  const plain = dotted === null ? text : `${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  const [head = '', tail] = plain.split('::');
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 16 - left.length - right.length }, () => 0);
  return [...left, ...zeros, ...right];
}

function groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** Reads `10.0.0.0/8`, `fd00::/8`, or a single address as a network of one; undefined if it is neither. */
export function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const width = address.length * 8;
  if (slash === -1) return { address, bits: width };
  const bits = text.slice(slash + 1);
  return /^\d{1,3}$/.test(bits) && Number(bits) <= width ? { address, bits: Number(bits) } : undefined;
}

/**
 * Reports whether the network contains the address. An IPv4 network contains only IPv4 addresses: see
 * `embeddedAddresses`.
 */
export function contains(network: Network, address: Address): boolean {
  if (network.address.length !== address.length) return false;
  const whole = network.bits >> 3;
  for (let i = 0; i < whole; i += 1) {
    if (network.address[i] !== address[i]) return false;
  }
  const rest = network.bits & 7;
  if (rest === 0) return true;
  const shift = 8 - rest;
  return (network.address[whole] ?? 0) >> shift === (address[whole] ?? 0) >> shift;
}

/** A network whose IPv6 addresses carry an IPv4 address. */
interface Embedding {
  readonly network: Network;
  /** Positions of the IPv4 address's bytes. */
  readonly at: readonly number[];
  /** Teredo stores the client's address with every bit inverted. */
  readonly flipped?: true;
}

const embedding = (network: string, at: readonly number[], flipped?: true): Embedding => ({
  network: parseNetwork(network) ?? { address: [], bits: 0 },
  at,
  ...(flipped === undefined ? {} : { flipped }),
});

const last = [12, 13, 14, 15];
const mapped: Network = { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], bits: 96 };

const embeddings: readonly Embedding[] = [
  embedding('::ffff:0:0/96', last), // IPv4-mapped, RFC 4291
  embedding('::/96', last), // IPv4-compatible, RFC 4291
  embedding('::ffff:0:0:0/96', last), // IPv4-translated, RFC 2765
  embedding('64:ff9b::/96', last), // NAT64, RFC 6052
  embedding('64:ff9b:1::/48', last), // NAT64 for local use, RFC 8215, in each layout of RFC 6052 that fits a /48
  embedding('64:ff9b:1::/48', [6, 7, 9, 10]),
  embedding('64:ff9b:1::/48', [7, 9, 10, 11]),
  embedding('64:ff9b:1::/48', [9, 10, 11, 12]),
  embedding('2002::/16', [2, 3, 4, 5]), // 6to4, RFC 3056
  embedding('2001::/32', [4, 5, 6, 7]), // Teredo server, RFC 4380
  embedding('2001::/32', last, true), // Teredo client
];
// ISATAP (RFC 5214) has its IPv4 address after the interface identifier 0:5efe or 200:5efe, under any prefix.
const isatap = [0x5e, 0xfe];

/** Returns the IPv4 addresses at which a packet to this IPv6 address may arrive, through a translator or tunnel. */
export function embeddedAddresses(address: Address): Address[] {
  if (address.length !== 16) return [];
  const carried = embeddings
    .filter(({ network }) => contains(network, address))
    .map(({ at, flipped }) => at.map((index) => (address[index] ?? 0) ^ (flipped === undefined ? 0 : 0xff)))
    // ::1 is not 0.0.0.1, and a leading zero may belong to another NAT64 layout; only a mapped zero reaches this host.
    .filter((found) => found[0] !== 0 || contains(mapped, address));
  const tunnelled = (address[8] === 0 || address[8] === 2) && address[9] === 0;
  if (tunnelled && address[10] === isatap[0] && address[11] === isatap[1]) carried.push(address.slice(12));
  return carried;
}

interface Range {
  readonly network: Network;
  readonly what: string;
}

const ranges = (what: string, ...networks: string[]): Range[] =>
  networks.map((text) => ({ network: parseNetwork(text) ?? { address: [], bits: 0 }, what }));

// A single address comes before the range that contains it, so that a message names the more specific of the two. AWS,
// GCP, Azure, Alibaba, Oracle, Linode, Scaleway, Equinix and Tencent document their metadata addresses; other clouds
// use 169.254.169.254.
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

/** Returns why a proxy must not look the name up, in a word or two; undefined if the name alone is no reason. */
export function refusedName(hostname: string): string | undefined {
  if (metadataNames.has(hostname)) return 'cloud metadata';
  return hostname === 'localhost' || hostname.endsWith('.localhost') ? 'loopback' : undefined;
}

/** The operator's rules about addresses. */
export interface AddressRules {
  readonly allowPrivateAddresses: boolean;
  /** Allowed although they are loopback, link-local or the like. */
  readonly exempt: readonly Network[];
  /** Never connected to; wins over everything. */
  readonly denied: readonly Network[];
}

/**
 * Returns why no connection to an address may be made, in a word or two for a message; undefined if one may. Checks an
 * IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, Teredo, ISATAP) as both. `trusted`: the operator has
 * named the very host that resolved to this address, so only `denied` counts.
 *
 * An exempt network lifts a rule only if it is at least as narrow as the rule's range: `127.0.0.0/8` allows loopback,
 * `0.0.0.0/0` lifts no rule.
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
