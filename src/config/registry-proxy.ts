import { type Config, NO_PROXY_ENTRY, PROXY_ADDRESS } from './schema.ts';

const KEY = 'detection.registry.proxy';
const OWN = 'LIBC_DNS_DETECTION_REGISTRY_PROXY';

type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy for requests to registries. */
interface RegistryProxySettings {
  /** With its login, if it has one: keep it out of logs. */
  readonly url: URL;
  readonly noProxy: readonly string[];
  /** `http://proxy.example:3128`. */
  readonly address: string;
  /** The variable or key that sets it. */
  readonly origin: string;
}

/**
 * Returns the proxy of a configuration, with its login from the environment; undefined if requests go to registries
 * directly.
 */
export function registryProxy(config: Config, environment: Environment): RegistryProxySettings | undefined {
  const { proxy, noProxy } = config.detection.registry;
  const configured = parseProxy(proxy);
  if (proxy === '' || configured === undefined) return undefined;
  const address = addressOf(configured);
  const same = [OWN, 'HTTPS_PROXY', 'https_proxy'].flatMap((name) => {
    const url = parseProxy(environment[name] ?? '');
    return url !== undefined && addressOf(url) === address ? [{ name, url }] : [];
  });
  const [first] = same;
  return { url: first?.url ?? configured, noProxy, address, origin: first?.name ?? KEY };
}

/** A default from the environment, which flags, our own variables and the file overrule. */
interface Default {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}

/** Reads `HTTPS_PROXY` and `NO_PROXY`, which crane and Docker obey too. Leaves out entries that Go ignores. */
export function proxyDefaults(environment: Environment): {
  readonly defaults: readonly Default[];
  readonly warnings: readonly string[];
} {
  const { defaults, warnings } = defaultProxy(environment);
  const origin = setVariable(environment, 'NO_PROXY');
  if (origin === undefined) return { defaults, warnings };
  const entries = (environment[origin] ?? '').split(',').map((entry) => entry.trim());
  const value = entries.filter((entry) => NO_PROXY_ENTRY.test(entry));
  return { defaults: [...defaults, { key: 'detection.registry.noProxy', value, origin }], warnings };
}

function defaultProxy(environment: Environment): { readonly defaults: Default[]; readonly warnings: string[] } {
  const origin = setVariable(environment, 'HTTPS_PROXY');
  if (origin === undefined) return { defaults: [], warnings: [] };
  const url = parseProxy(environment[origin] ?? '');
  if (url !== undefined) return { defaults: [{ key: KEY, value: addressOf(url), origin }], warnings: [] };
  const warning = `environment variable ${origin} is ignored: expected http://host:port or https://host:port`;
  return { defaults: [], warnings: [warning] };
}

/** Returns the name of the variable that is set, in upper or lower case; upper case wins, like in Go. */
function setVariable(environment: Environment, name: string): string | undefined {
  return [name, name.toLowerCase()].find((spelling) => (environment[spelling] ?? '') !== '');
}

/** Returns the value of our own variable without its login, which stays in the environment. */
export function ownProxy(text: string): string {
  if (text === '') return text;
  const url = parseProxy(text);
  // The schema refuses this text. The message must not show the variable, which may hold a login.
  return url === undefined ? 'not a proxy' : addressOf(url);
}

/**
 * Reads a variable's proxy; undefined if it is unusable. Assumes http without a scheme, like Go (x/net/http/httpproxy,
 * parseProxy).
 */
function parseProxy(text: string): URL | undefined {
  const given = URL.parse(text);
  const url = given === null || given.hostname === '' ? URL.parse(`http://${text}`) : given;
  return url !== null && PROXY_ADDRESS.test(addressOf(url)) ? url : undefined;
}

/** Returns scheme, host and port, which may be shown. */
const addressOf = ({ protocol, host }: URL): string => `${protocol}//${host}`;
