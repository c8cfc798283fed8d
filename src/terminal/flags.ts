import { type Command, InvalidArgumentError, Option } from 'commander';

import type { Override } from '../config/environment.ts';
import { ConfigError, loadConfig, type LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { ClusterFacts, Mode } from '../policy/model.ts';
import { BUILT_IN } from '../resolv-conf/kubelet.ts';
import { fileProblem } from '../util/files.ts';
import { CommandError, type Io } from './io.ts';

/** The flags that all commands take. */
export interface CommonFlags {
  readonly config?: string;
  readonly namespace?: string;
  readonly namespaceMode?: Mode;
  readonly clusterDns?: string[];
  readonly clusterDomain?: string;
  readonly nodeSearches?: string[];
  readonly nodeLocal?: string;
  readonly offline?: boolean;
  readonly platform?: string;
  readonly logLevel?: string;
  readonly color: boolean;
}

/** The flags that select a cluster, as in kubectl. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Adds the common flags to a command; `--namespace` unless it has its own. */
export function addCommonFlags(command: Command): Command {
  if (!command.options.some(({ long }) => long === '--namespace')) {
    command.option('-n, --namespace <name>', 'namespace of manifests that name none');
  }
  return command
    .option('--config <file>', 'configuration file (YAML); also LIBC_DNS_CONFIG')
    .addOption(
      new Option('--namespace-mode <mode>', "take this as the namespaces' libc-dns.dev/mode label").choices([
        'enforce',
        'audit',
        'off',
      ]),
    )
    .option('--cluster-dns <address>', 'cluster DNS address (repeatable)', collect)
    .option('--cluster-domain <domain>', 'cluster domain, such as cluster.local')
    .option('--node-searches <domains>', "search domains of the nodes' resolv.conf (repeatable)", collect)
    .option('--node-local <mode>', 'node-local DNS cache: auto, on, off, or its address', nodeLocal)
    .option('--offline', 'ask no registry')
    .option('--platform <platform>', 'platform of Pods that name none, such as linux/arm64')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent')
    .option('--no-color', 'no colours, even on a terminal');
}

/**
 * Returns the effective configuration; prints warnings. Throws a `CommandError` (usage) with every problem if it is
 * invalid.
 */
export async function readSettings(io: Io, flags: CommonFlags): Promise<Omit<LoadedConfig, 'warnings'>> {
  const name = flags.config ?? io.environment['LIBC_DNS_CONFIG'];
  const file = name === undefined || name === '' ? undefined : await configFile(io, name);
  try {
    const { warnings, ...loaded } = loadConfig({
      ...(file !== undefined && { file }),
      environment: io.environment,
      flags: overrides(flags),
    });
    for (const warning of warnings) io.err(`libc-dns: warning: ${warning}\n`);
    return loaded;
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError('usage', error.message, { cause: error });
    throw error;
  }
}

/**
 * Returns the cluster's facts by the configuration, with built-in values for the rest, and names these in `assumed`.
 */
export function configuredFacts(config: Config): { readonly facts: ClusterFacts; readonly assumed: readonly string[] } {
  const { dns, domain, nodeSearches } = config.cluster;
  const assumed = assumptions({
    ...(dns === 'auto' && { dns: BUILT_IN.dns.join(' ') }),
    ...(domain === 'auto' && { domain: BUILT_IN.domain }),
    noSearches: nodeSearches === 'auto',
  });
  const facts: ClusterFacts = {
    dns: dns === 'auto' ? BUILT_IN.dns : dns,
    domain: domain === 'auto' ? BUILT_IN.domain : domain,
    nodeSearches: nodeSearches === 'auto' ? [] : nodeSearches,
    dnsOverTcp: false,
    nodeLocal: 'unknown',
  };
  return { facts, assumed };
}

/** What is assumed of a cluster's DNS because nothing tells. */
interface Assumed {
  readonly dns?: string;
  readonly domain?: string;
  readonly noSearches: boolean;
}

/** Names each assumption with the flag that sets it. */
export const assumptions = ({ dns, domain, noSearches }: Assumed): readonly string[] => [
  ...(dns === undefined ? [] : [`cluster DNS ${dns} (--cluster-dns)`]),
  ...(domain === undefined ? [] : [`cluster domain ${domain} (--cluster-domain)`]),
  ...(noSearches ? ['no search domains on the nodes (--node-searches)'] : []),
];

function overrides(flags: CommonFlags): Override[] {
  const simple = [
    { key: 'cluster.dns', value: flags.clusterDns, origin: '--cluster-dns' },
    { key: 'cluster.domain', value: flags.clusterDomain, origin: '--cluster-domain' },
    { key: 'cluster.nodeSearches', value: flags.nodeSearches?.filter(Boolean), origin: '--node-searches' },
    { key: 'detection.platform', value: flags.platform, origin: '--platform' },
    { key: 'log.level', value: flags.logLevel, origin: '--log-level' },
    { key: 'detection.registry.enabled', value: flags.offline ? false : undefined, origin: '--offline' },
  ].filter((override) => override.value !== undefined);
  return flags.nodeLocal === undefined ? simple : [...simple, ...nodeLocalOverrides(flags.nodeLocal)];
}

function nodeLocalOverrides(value: string): Override[] {
  const origin = '--node-local';
  if (['auto', 'on', 'off'].includes(value)) return [{ key: 'nodeLocal.mode', value, origin }];
  return [
    { key: 'nodeLocal.mode', value: 'on', origin },
    { key: 'nodeLocal.addresses', value: value.split(','), origin },
  ];
}

async function configFile(io: Io, name: string): Promise<{ name: string; text: string }> {
  try {
    return { name, text: await io.readFile(name) };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = missing ? 'no such file' : fileProblem(error);
    throw new CommandError('usage', `configuration file ${name}: ${why}`, { cause: error });
  }
}

const collect = (value: string, all: string[] | undefined): string[] => [
  ...(all ?? []),
  ...value.split(',').map((item) => item.trim()),
];

function nodeLocal(value: string): string {
  if (value === '') throw new InvalidArgumentError('expected auto, on, off or an IP address');
  return value;
}
