import { readFileSync } from 'node:fs';
import type { AgentOptions, RequestOptions } from 'node:https';
import { dirname, resolve, sep } from 'node:path';

import { KubeConfig, type User } from '@kubernetes/client-node';
import { Agent, type buildConnector, type Dispatcher, ProxyAgent, Socks5ProxyAgent } from 'undici';
import { parse } from 'yaml';

import { fileProblem } from '../util/files.ts';
import { messageOf } from '../util/text.ts';
import type { Transport } from './client.ts';
import { KubeError } from './errors.ts';

export interface KubeConfigOptions {
  /** Kubeconfig files, as in KUBECONFIG. Absent: the service account mounted into our own Pod. */
  readonly files?: readonly string[];
  /** The context to use. Absent: the current one. */
  readonly context?: string;
  readonly userAgent: string;
}

export interface KubeConfigTransport extends Transport {
  /** The namespace of the context, or of our own Pod. */
  readonly namespace: string | undefined;
}

/**
 * Creates the transport for a kubeconfig or our own service account, with every login that client-node supports (tokens
 * renewed on disk, exec plugins, OIDC, client certificates). Unlike its generated clients, it reuses connections. Throws
 * {@link KubeError} (invalid) if there is no usable configuration.
 */
export function kubeConfigTransport(options: KubeConfigOptions): KubeConfigTransport {
  const config = load(options);
  let open: { readonly fingerprint: string; readonly dispatcher: Dispatcher } | undefined;
  return {
    server: config.getCurrentCluster()?.server ?? '',
    namespace: config.getContextObject(config.getCurrentContext())?.namespace,
    async prepare() {
      const tls: RequestOptions = {};
      await config.applyToHTTPSOptions(tls);
      const fingerprint = fingerprintOf(tls);
      if (open?.fingerprint !== fingerprint) {
        // Does not wait: calls under way may still use the old connections.
        void open?.dispatcher.close();
        open = { fingerprint, dispatcher: dispatcherFor(config, tls) };
      }
      const basic = typeof tls.auth === 'string' ? { authorization: `Basic ${btoa(tls.auth)}` } : {};
      const headers = { ...basic, ...trimmed(tls.headers as Record<string, string>), 'user-agent': options.userAgent };
      return { headers, dispatcher: open.dispatcher };
    },
    close: async () => await open?.dispatcher.destroy(),
  };
}

function serviceAccountConfig(): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromCluster();
  } catch (error) {
    throw new KubeError('invalid', `our own service account: ${messageOf(error)}`, { cause: error });
  }
  return config;
}

function load({ files, context }: KubeConfigOptions): KubeConfig {
  const config = files === undefined ? serviceAccountConfig() : readKubeConfig(files);
  if (context !== undefined) config.setCurrentContext(context);
  if (config.getCurrentCluster() === null) {
    const named = config.getCurrentContext();
    const why = named ? `no cluster for context ${named}` : 'no current context';
    throw new KubeError(
      'invalid',
      `${files === undefined ? 'our own service account' : `kubeconfig ${files.join(', ')}`}: ${why}`,
    );
  }
  return config;
}

/** Identifies what a connection depends on: a new CA or client certificate needs new connections. */
const fingerprintOf = ({ ca, cert, key }: RequestOptions): string => [ca, cert, key].map(String).join('\n');

type Connect = buildConnector.BuildOptions;

/** Uses HTTP/1.1: one connection for each concurrent call, and one for each watch. */
function dispatcherFor(config: KubeConfig, tls: RequestOptions): Dispatcher {
  const options = config.createDispatcherOptions(config.getCurrentCluster(), tls as AgentOptions);
  const common = { allowH2: false, keepAliveTimeout: 60_000, connectTimeout: 5000 };
  switch (options.type) {
    case 'proxy':
      return new ProxyAgent({ ...common, uri: options.uri, requestTls: options.requestTls as Connect });
    case 'socks':
      return new Socks5ProxyAgent(options.uri, { ...common, requestTls: options.requestTls as Connect });
    default:
      return new Agent({
        ...common,
        connections: 64,
        ...(options.type === 'agent' && { connect: options.connect as Connect }),
      });
  }
}

/** Removes the line end of tokens that come from files. */
const trimmed = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.trim()]));

interface Exec {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly env?: readonly object[] | null;
}

/** Resolves a command with a slash against the kubeconfig's folder (client-go: clientcmd/loader.go, GetAuthInfoFileReferences). */
function withExec(user: User, folder: string): User {
  const exec = user.exec as Exec | null | undefined;
  if (typeof exec?.command !== 'string') return user;
  const command = exec.command.includes(sep) ? resolve(folder, exec.command) : exec.command;
  // Plugins answer in the version that this names (kubernetes.io: Authenticating, client-go credential plugins, input and output).
  const info = { kind: 'ExecCredential', apiVersion: exec.apiVersion, spec: { interactive: false } };
  const env = [...(exec.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }];
  return { ...user, exec: { ...exec, command, env } };
}

/** Adds the user's `tokenFile`, which client-node ignores, in the form that it uses for a service account's token. */
function withTokenFile(user: User, tokenFile: unknown, folder: string): User {
  if (typeof tokenFile !== 'string' || tokenFile === '') return user;
  return { ...user, authProvider: { name: 'tokenFile', config: { tokenFile: resolve(folder, tokenFile) } } };
}

interface Users {
  readonly users?: readonly { readonly name: string; readonly user?: { readonly tokenFile?: unknown } | null }[] | null;
}

/** Reads one kubeconfig, with paths relative to its folder; undefined if the file is empty. */
function readFile(file: string): KubeConfig | undefined {
  const text = readFileSync(file, 'utf8');
  const content = parse(text, { prettyErrors: false, logLevel: 'silent' }) as Users | null;
  if (content === null) return undefined;
  const folder = dirname(file);
  const config = new KubeConfig();
  config.loadFromString(text);
  config.makePathsAbsolute(folder);
  config.users = config.users.map((user) => {
    const tokenFile = content.users?.find(({ name }) => name === user.name)?.user?.tokenFile;
    return withTokenFile(withExec(user, folder), tokenFile, folder);
  });
  return config;
}

function uniqueByName<T extends { readonly name: string }>(all: readonly T[]): T[] {
  return [...Map.groupBy(all, ({ name }) => name).values()].flatMap(([first]) => first ?? []);
}

/**
 * Merges the files of a KUBECONFIG: the first cluster, user or context of a name wins as a whole, and the current context is
 * the first that a file names (kubernetes.io: Organizing Cluster Access Using kubeconfig Files). Throws {@link KubeError}
 * (invalid), naming the file that cannot be read.
 */
export function readKubeConfig(files: readonly string[]): KubeConfig {
  const configs = files.flatMap((file) => {
    try {
      return readFile(file) ?? [];
    } catch (error) {
      // YAML errors show the lines below.
      const [problem] = fileProblem(error).split('\n');
      throw new KubeError('invalid', `kubeconfig ${file}: ${problem}`, { cause: error });
    }
  });
  const merged = new KubeConfig();
  merged.loadFromOptions({
    clusters: uniqueByName(configs.flatMap(({ clusters }) => clusters)),
    users: uniqueByName(configs.flatMap(({ users }) => users)),
    contexts: uniqueByName(configs.flatMap(({ contexts }) => contexts)),
    currentContext: configs.map(({ currentContext }) => currentContext).find(Boolean),
  });
  return merged;
}
