import { type Address, contains, type Network, parseAddress, parseNetwork } from './address.ts';

/** A host and port to connect to. */
export interface Authority {
  /** Spelled like `URL` does, IPv6 in brackets, without a trailing dot. */
  readonly hostname: string;
  readonly port: number;
}

/** One entry of an allow or deny list, or of `insecure`. */
export type HostPattern =
  | { readonly kind: 'network'; readonly network: Network }
  | {
      readonly kind: 'host';
      /** Without `*.`; empty for `*`. */
      readonly name: string;
      readonly wildcard: boolean;
      readonly port?: number;
      /** Path components; empty for the whole host. */
      readonly repository: readonly string[];
      /** Repositories below `repository` match too. */
      readonly below: boolean;
    };

export const hubHost = 'docker.io';
const hubAliases = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** Returns the usual name of a registry's host; Docker Hub has three names. */
export function commonName(hostname: string): string {
  return hubAliases.has(hostname) ? hubHost : hostname;
}

/** Returns the host and port of a URL; the scheme's port if the URL has none. */
export function authorityOf(url: URL): Authority {
  const hostname = url.hostname.replace(/\.$/, '');
  return { hostname, port: url.port === '' ? defaultPort(url.protocol) : Number(url.port) };
}

function defaultPort(protocol: string): number {
  return protocol === 'http:' ? 80 : 443;
}

/**
 * Reads `host`, `host:port`, `*.suffix`, `*`, `host/repository`, `host/prefix/*`, an address or a CIDR. Without a port
 * every port matches. Throws a RangeError that names the entry.
 */
export function parseHostPattern(text: string): HostPattern {
  const network = parseNetwork(text);
  if (network !== undefined && text.includes('/')) return { kind: 'network', network };
  const isBareV6 = network !== undefined && text.includes(':') && !text.startsWith('[');
  const [authority = '', ...path] = (isBareV6 ? `[${text}]` : text).split('/');
  const host = authority === '*' ? { name: '', wildcard: true } : parseHost(authority);
  const below = path.at(-1) === '*';
  const repository = below ? path.slice(0, -1) : path;
  const isBadNetwork = parseAddress(authority) !== undefined && /^\d+$/.test(path.join('/'));
  const isBadPath = repository.some((component) => component === '' || component.includes('*'));
  if (host === undefined || isBadNetwork || isBadPath) throw badPattern(text);
  return { kind: 'host', ...host, repository, below };
}

function parseHost(authority: string): { name: string; wildcard: boolean; port?: number } | undefined {
  const wildcard = authority.startsWith('*.');
  const text = wildcard ? authority.slice(2) : authority;
  const url = /[*@?#\s\\]/.test(text) ? null : URL.parse(`http://${text}`);
  if (url === null) return undefined;
  // URL drops port 80, its scheme's own.
  const port = /:(\d+)$/.exec(text)?.[1];
  const name = commonName(authorityOf(url).hostname);
  return { name, wildcard, ...(port === undefined ? {} : { port: Number(port) }) };
}

function badPattern(text: string): RangeError {
  return new RangeError(
    `${JSON.stringify(text)} is not a registry pattern: expected host, host:port, *.suffix, host/repository/*, or a network such as 10.0.0.0/8`,
  );
}

/** Reports whether the entry names this host and port. A network names no host. */
export function matchesHost(pattern: HostPattern, { hostname, port }: Authority): boolean {
  if (pattern.kind === 'network') return false;
  if (pattern.port !== undefined && pattern.port !== port) return false;
  const name = commonName(hostname);
  if (!pattern.wildcard) return name === pattern.name;
  return pattern.name === '' || name.endsWith(`.${pattern.name}`);
}

/** Reports whether the entry includes this repository, once its host has matched. */
export function matchesRepository(pattern: HostPattern, repository: string): boolean {
  if (pattern.kind === 'network' || (pattern.repository.length === 0 && !pattern.below)) return true;
  const components = repository.split('/');
  if (components.length < pattern.repository.length) return false;
  if (!pattern.below && components.length > pattern.repository.length) return false;
  return pattern.repository.every((component, index) => component === components[index]);
}

type Matches = (authority: Authority, address: Address | undefined) => boolean;

const loopback = ['127.0.0.0/8', '::1'].flatMap((text) => parseNetwork(text) ?? []);

/**
 * Reports whether the host is this machine, which no proxy can reach. Go excepts `localhost` itself and no subdomain.
 */
function isHere({ hostname }: Authority, address: Address | undefined): boolean {
  if (address !== undefined) return loopback.some((network) => contains(network, address));
  return hostname === 'localhost' || hostname.endsWith('.localhost');
}

/** Splits `example.com`, `example.com:443` or `[::1]:443`; an IPv6 address without brackets has no port. */
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
 * Returns a test for hosts that bypass the proxy. Reads `entries` like Go reads `NO_PROXY` (x/net/http/httpproxy):
 * `host` with its subdomains, `.suffix` and `*.suffix` for subdomains alone, an address or network for hosts written as
 * an address, `*` for all; each but the network may have a `:port`. Looks no name up.
 */
export function createNoProxy(entries: readonly string[]): (authority: Authority) => boolean {
  const matchers = [isHere, ...entries.map(matcherOf)];
  return (authority) => {
    const address = parseAddress(authority.hostname);
    return matchers.some((matches) => matches(authority, address));
  };
}
