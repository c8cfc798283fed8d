/** Addresses from `first` to `last`, as numbers. */
export interface IpBlock {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

function ipv4(text: string): bigint | undefined {
  const bytes = IPV4.exec(text)?.slice(1).map(Number);
  if (bytes === undefined || bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

/** Reads the 16-bit groups on one side of `::`; the last may be an IPv4 address (RFC 4291 2.2). Returns undefined if malformed. */
function groups(side: string, at: number, sides: readonly string[]): readonly bigint[] | undefined {
  if (side === '') return [];
  const found: bigint[] = [];
  const parts = side.split(':');
  for (const [index, part] of parts.entries()) {
    const dotted = at === sides.length - 1 && index === parts.length - 1 ? ipv4(part) : undefined;
    if (dotted !== undefined) found.push(dotted >> 16n, dotted & 0xffffn);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) found.push(BigInt(`0x${part}`));
    else return undefined;
  }
  return found;
}

function ipv6(text: string): bigint | undefined {
  const sides = text.split('::').map(groups);
  if (sides.length > 2) return undefined;
  const [left, right] = sides;
  if (left === undefined || (sides.length === 2 && right === undefined)) return undefined;
  const missing = 8 - left.length - (right?.length ?? 0);
  if (right === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...left, ...Array.from({ length: missing }, () => 0n), ...(right ?? [])];
  return all.reduce((value, group) => (value << 16n) + group, 0n);
}

/** Characters, more than any address with its prefix has. */
const LONGEST = 50;

/** Reads an address or a CIDR (`10.96.0.10`, `fd00::/8`); undefined if it is neither. */
export function parseBlock(text: unknown): IpBlock | undefined {
  if (typeof text !== 'string' || text.length > LONGEST) return undefined;
  const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = address.includes(':') ? 6 : 4;
  const width = family === 6 ? 128n : 32n;
  const value = family === 6 ? ipv6(address) : ipv4(address);
  const length = prefix === undefined ? width : BigInt(prefix);
  if (value === undefined || length > width) return undefined;
  const host = width - length;
  const first = (value >> host) << host;
  return { family, first, last: first + (1n << host) - 1n };
}

/** Reports whether all of `inner` lies in `outer`. */
export const contains = (outer: IpBlock, inner: IpBlock): boolean =>
  outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;

/** Reports whether they have an address in common. */
export const overlaps = (a: IpBlock, b: IpBlock): boolean =>
  a.family === b.family && a.first <= b.last && b.first <= a.last;
