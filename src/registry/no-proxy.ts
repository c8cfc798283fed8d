import type { Authority } from './host-pattern.ts';
import { contains, parseAddress, parseNetwork, type Address } from './ip-address.ts';

type Matches = (authority: Authority, address: Address | undefined) => boolean;

const loopback = ['127.0.0.0/8', '::1'].flatMap((text) => parseNetwork(text) ?? []);

/** This machine is never reached through another: Go has the same exception, for `localhost` alone and not for names below it. */
function isHere({ hostname }: Authority, address: Address | undefined): boolean {
  if (address !== undefined) return loopback.some((network) => contains(network, address));
  return hostname === 'localhost' || hostname.endsWith('.localhost');
}

/** `example.com`, `example.com:443`, `[::1]:443`, or an IPv6 address, which has no port. */
function splitPort(text: string): { readonly host: string; readonly port?: number } {
  const [, host = text, port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(text) ?? [];
  return port === undefined ? { host } : { host, port: Number(port) };
}

function matcherOf(text: string): Matches {
  const entry = text.trim().toLowerCase();
  if (entry === '*') return () => true;
  const network = parseNetwork(entry);
  if (network !== undefined && entry.includes('/')) {
    return (_, address) => address !== undefined && contains(network, address);
  }
  const { host, port } = splitPort(entry);
  const same = ({ port: asked }: Authority): boolean => port === undefined || port === asked;
  const single = parseNetwork(host);
  if (single !== undefined) {
    return (authority, address) => address !== undefined && contains(single, address) && same(authority);
  }
  const below = host.replace(/^\*(?=\.)/, '');
  const suffix = below.startsWith('.') ? below : `.${below}`;
  return (authority) => same(authority) && (authority.hostname.endsWith(suffix) || authority.hostname === below);
}

/**
 * Whether a host is asked directly, by a list as `NO_PROXY` has it and Go reads it (x/net/http/httpproxy): `host` and what is
 * below it, `.suffix` and `*.suffix` for what is below alone, an address, a network, for hosts that are written as an address, each
 * but the network with `:port` if it has one; `*` for all. No name is looked up.
 */
export function createNoProxy(entries: readonly string[]): (authority: Authority) => boolean {
  const matchers = [isHere, ...entries.map(matcherOf)];
  return (authority) => {
    const address = parseAddress(authority.hostname);
    return matchers.some((matches) => matches(authority, address));
  };
}
