import { KubeConfig } from '@kubernetes/client-node';
import type { AgentOptions, RequestOptions } from 'node:https';
import { Agent, ProxyAgent, Socks5ProxyAgent, type buildConnector, type Dispatcher } from 'undici';

import type { Transport } from './client.ts';
import { readKubeConfig } from './kube-config-files.ts';
import { KubeError } from './kube-error.ts';

export interface KubeConfigOptions {
  /** Kubeconfig files, as in KUBECONFIG. Absent: the service account mounted into our own Pod. */
  readonly files?: readonly string[];
  /** One of their contexts. Absent: the current one. */
  readonly context?: string;
  readonly userAgent: string;
}

function ofServiceAccount(): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromCluster();
  } catch (error) {
    throw new KubeError('invalid', `our own service account: ${(error as Error).message}`, { cause: error });
  }
  return config;
}

function load({ files, context }: KubeConfigOptions): KubeConfig {
  const config = files === undefined ? ofServiceAccount() : readKubeConfig(files);
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

/** What a connection depends on: a new CA or client certificate needs new connections. */
const fingerprint = ({ ca, cert, key }: RequestOptions): string => [ca, cert, key].map(String).join('\n');

export interface KubeConfigTransport extends Transport {
  /** The context's, or our own Pod's. */
  readonly namespace: string | undefined;
}

type Connect = buildConnector.BuildOptions;

/** HTTP/1.1, as few connections as there are calls at once; a watch keeps one to itself. */
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

/** A token that comes from a file ends with the file's last line. */
const trimmed = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.trim()]));

/**
 * The transport that a kubeconfig or our own service account describes, with everything client-node knows of logging in
 * (tokens that are renewed on disk, exec plugins, OIDC, client certificates). Connections are kept and shared, which its
 * generated clients do not do. Throws {@link KubeError} (invalid) where there is no usable configuration.
 */
export function kubeConfigTransport(options: KubeConfigOptions): KubeConfigTransport {
  const config = load(options);
  let open: { readonly of: string; readonly dispatcher: Dispatcher } | undefined;
  return {
    server: config.getCurrentCluster()?.server ?? '',
    namespace: config.getContextObject(config.getCurrentContext())?.namespace,
    async prepare() {
      const tls: RequestOptions = {};
      await config.applyToHTTPSOptions(tls);
      const of = fingerprint(tls);
      if (open?.of !== of) {
        // Calls under way end in their own time.
        void open?.dispatcher.close();
        open = { of, dispatcher: dispatcherFor(config, tls) };
      }
      const basic = typeof tls.auth === 'string' ? { authorization: `Basic ${btoa(tls.auth)}` } : {};
      const headers = { ...basic, ...trimmed(tls.headers as Record<string, string>), 'user-agent': options.userAgent };
      return { headers, dispatcher: open.dispatcher };
    },
    close: async () => await open?.dispatcher.destroy(),
  };
}
