import { parseAddress, parseNetwork, type Network } from './ip-address.ts';

/** A host and port that a connection is made to. */
export interface Authority {
  /** As `URL` spells it, IPv6 in brackets, without a trailing dot. */
  readonly hostname: string;
  readonly port: number;
}

/** One entry of an allow or deny list, or of `insecure`. */
export type HostPattern =
  | { readonly kind: 'network'; readonly network: Network }
  | {
      readonly kind: 'host';
      /** Without `*.`; empty where the entry is `*`. */
      readonly name: string;
      readonly wildcard: boolean;
      readonly port?: number;
      /** Path components; empty: the whole host. */
      readonly repository: readonly string[];
      /** Whether repositories below `repository` match too. */
      readonly below: boolean;
    };

export const hubHost = 'docker.io';
const hubAliases = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** The one name under which people know a registry's host; Docker Hub has three. */
export function commonName(hostname: string): string {
  return hubAliases.has(hostname) ? hubHost : hostname;
}

/** The host and port of a URL, the scheme's port where it names none. */
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

/** Whether the entry names this host and port. Networks match hosts that are written as an address. */
export function matchesHost(pattern: HostPattern, { hostname, port }: Authority): boolean {
  if (pattern.kind === 'network') return false;
  if (pattern.port !== undefined && pattern.port !== port) return false;
  const name = commonName(hostname);
  if (!pattern.wildcard) return name === pattern.name;
  return pattern.name === '' || name.endsWith(`.${pattern.name}`);
}

/** Whether the entry names this repository, once its host has matched. */
export function matchesRepository(pattern: HostPattern, repository: string): boolean {
  if (pattern.kind === 'network' || (pattern.repository.length === 0 && !pattern.below)) return true;
  const components = repository.split('/');
  if (components.length < pattern.repository.length) return false;
  if (!pattern.below && components.length > pattern.repository.length) return false;
  return pattern.repository.every((component, index) => component === components[index]);
}
