import { type Config, NO_PROXY_ENTRY, PROXY_ADDRESS } from './schema.ts';

const KEY = 'detection.registry.proxy';
const OWN = 'LIBC_DNS_DETECTION_REGISTRY_PROXY';

type Environment = Readonly<Record<string, string | undefined>>;

/** A variable's proxy; without a scheme it is http, as Go has it (x/net/http/httpproxy, parseProxy). Undefined: it is none that can be used. */
function parseProxy(text: string): URL | undefined {
  const given = URL.parse(text);
  const url = given === null || given.hostname === '' ? URL.parse(`http://${text}`) : given;
  return url !== null && PROXY_ADDRESS.test(addressOf(url)) ? url : undefined;
}

/** Scheme, host and port: what may be shown. */
const addressOf = ({ protocol, host }: URL): string => `${protocol}//${host}`;

/** The value of our own variable as the configuration has it: without its login, which stays in the environment. */
export function ownProxy(text: string): string {
  if (text === '') return text;
  const url = parseProxy(text);
  // The schema refuses this, and nobody sees what was given.
  return url === undefined ? 'not a proxy' : addressOf(url);
}

/** A setting that counts where nothing of ours says otherwise. */
interface Default {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}

/** The variable that is set, the spelling in capitals first, as Go has it. */
function variable(environment: Environment, name: string): string | undefined {
  return [name, name.toLowerCase()].find((spelling) => (environment[spelling] ?? '') !== '');
}

function defaultProxy(environment: Environment): { readonly defaults: Default[]; readonly warnings: string[] } {
  const origin = variable(environment, 'HTTPS_PROXY');
  if (origin === undefined) return { defaults: [], warnings: [] };
  const url = parseProxy(environment[origin] ?? '');
  if (url !== undefined) return { defaults: [{ key: KEY, value: addressOf(url), origin }], warnings: [] };
  const warning = `environment variable ${origin} is ignored: expected http://host:port or https://host:port`;
  return { defaults: [], warnings: [warning] };
}

/** What `HTTPS_PROXY` and `NO_PROXY` say, for crane and Docker obey them too. Entries that Go passes over are left out. */
export function proxyDefaults(environment: Environment): {
  readonly defaults: readonly Default[];
  readonly warnings: readonly string[];
} {
  const { defaults, warnings } = defaultProxy(environment);
  const origin = variable(environment, 'NO_PROXY');
  if (origin === undefined) return { defaults, warnings };
  const entries = (environment[origin] ?? '').split(',').map((entry) => entry.trim());
  const value = entries.filter((entry) => NO_PROXY_ENTRY.test(entry));
  return { defaults: [...defaults, { key: 'detection.registry.noProxy', value, origin }], warnings };
}

/** How registries are asked through a proxy. */
interface RegistryProxySettings {
  /** With its login, if it has one: nothing for a log. */
  readonly url: URL;
  readonly noProxy: readonly string[];
  /** `http://proxy.example:3128`. */
  readonly address: string;
  /** The variable or key that names it. */
  readonly origin: string;
}

/** The proxy of a configuration, with the login that the environment has for it. Undefined: registries are asked directly. */
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
