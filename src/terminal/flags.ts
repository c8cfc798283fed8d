import { isIP } from 'node:net';

import { type Command, InvalidArgumentError, Option } from 'commander';

import type { Override } from '../config/environment.ts';
import { ConfigError, loadConfig, type LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { ClusterFacts, Mode } from '../policy/model.ts';
import { BUILT_IN } from '../resolv-conf/kubelet.ts';
import { fileProblem } from '../util/files.ts';
import { CommandError, type Io } from './io.ts';

/** The flags that set the configuration; each command takes some of them. */
export interface CommonFlags {
  readonly config?: string;
  readonly namespaceMode?: Mode;
  readonly clusterDns?: string[];
  readonly clusterDomain?: string;
  readonly nodeSearches?: string[];
  readonly nodeLocal?: string;
  readonly offline?: boolean;
  readonly platform?: string;
  readonly logLevel?: string;
}

/** Given by all commands that print for people. */
export interface ColorFlag {
  readonly color: boolean;
}

/** The flags that select a cluster, as in kubectl. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** The flags that select objects of manifests, and of a cluster. */
export interface ObjectFlags {
  readonly filename?: readonly string[];
  readonly namespace?: readonly string[];
  readonly allNamespaces?: boolean;
}

const MODES = ['enforce', 'audit', 'off'];

const FLAGS = {
  config: () => new Option('--config <file>', 'configuration file (YAML); also LIBC_DNS_CONFIG'),
  namespaceMode: () =>
    new Option('--namespace-mode <mode>', "take this as the namespaces' libc-dns.dev/mode label").choices(MODES),
  clusterDns: () =>
    new Option('--cluster-dns <address>', 'cluster DNS address (a,b or repeated)').argParser(collectWords),
  clusterDomain: () => new Option('--cluster-domain <domain>', 'cluster domain, such as cluster.local'),
  nodeSearches: () =>
    new Option('--node-searches <domains>', "search domains of the nodes' resolv.conf (a,b or repeated)").argParser(
      collectWords,
    ),
  nodeLocal: () =>
    new Option('--node-local <mode>', 'node-local DNS cache: auto, on, off, or its address').argParser(nodeLocal),
  offline: () => new Option('--offline', 'ask no registry'),
  platform: () =>
    new Option('--platform <platform>', 'platform of images where nothing names one, such as linux/arm64'),
  logLevel: () => new Option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent'),
  color: () => new Option('--no-color', 'no colours, even on a terminal'),
} as const satisfies Record<keyof CommonFlags | keyof ColorFlag, () => Option>;

/** The flags about a cluster's DNS. */
export const DNS_FLAGS = ['clusterDns', 'clusterDomain', 'nodeSearches', 'nodeLocal'] as const;

/** Adds the flags that a command makes use of; it refuses all others. */
export function addFlags(command: Command, names: readonly (keyof typeof FLAGS)[]): Command {
  for (const name of names) command.addOption(FLAGS[name]());
  return command;
}

/** Adds `--kubeconfig` and `--context`. `which` says what is done with the cluster. */
export function addClusterFlags(command: Command, which: string): Command {
  return command
    .option('--kubeconfig <file>', which)
    .option('--context <name>', 'a context of the kubeconfig, not its current one');
}

/** Returns the flag `-o`, which takes `-o json`, `-ojson` and, as with kubectl, `-o=json`. */
export function outputFlag(choices: readonly [string, ...string[]]): Option {
  const option = new Option('-o, --output <format>', 'output format').choices(choices).default(choices[0]);
  const check = option.parseArg;
  return option.argParser((value, before: string) => check?.(shortValue(value), before) ?? value);
}

/** Adds files, as arguments or with `-f`, and the namespaces that count, with `-n` and `-A`. */
export function addObjectFlags(
  command: Command,
  about: { readonly files: string; readonly namespace: string },
): Command {
  return command
    .argument('[file...]', `as -f: ${about.files}`)
    .option('-f, --filename <file>', `${about.files} (a,b or repeated)`, collectFiles)
    .option('-n, --namespace <name>', `${about.namespace} (a,b or repeated)`, collectNamespaces)
    .option('-A, --all-namespaces', 'all namespaces (the default); -n then only places manifests without a namespace');
}

/** Throws an `InvalidArgumentError` for an empty path: a comma too many, or a variable that is not set. */
function collectFiles(value: string, all: string[] | undefined): string[] {
  const files = collectWords(value, all);
  if (files.includes('')) throw new InvalidArgumentError('A path is empty.');
  return files;
}

/** An empty name stands for none, as with kubectl. */
const collectNamespaces = (value: string, all: string[] | undefined): string[] =>
  collectWords(value, all).filter(Boolean);

/** Returns the flags with the files that are arguments. */
export const withFiles = <F extends ObjectFlags>(files: readonly string[], flags: F): F =>
  files.length === 0 ? flags : { ...flags, filename: [...files, ...(flags.filename ?? [])] };

/** Reports whether the flags choose the objects of a namespace. */
export const isChosen = (namespace: string, { allNamespaces, namespace: chosen = [] }: ObjectFlags): boolean =>
  allNamespaces === true || chosen.length === 0 || chosen.includes(namespace);

/** Returns the value of a short flag without the `=` that kubectl allows before it: `-n=shop`. */
export const shortValue = (value: string): string => value.replace(/^=/, '');

/** Collects the values of a flag that may be repeated, or hold several: `a,b`. */
export const collectWords = (value: string, all: string[] | undefined): string[] => [
  ...(all ?? []),
  ...shortValue(value)
    .split(',')
    .map((item) => item.trim()),
];

function nodeLocal(value: string): string {
  const isMode = ['auto', 'on', 'off'].includes(value);
  if (!isMode && value.split(',').some((address) => isIP(address) === 0)) {
    throw new InvalidArgumentError('expected auto, on, off or an IP address');
  }
  return value;
}

/**
 * Returns the effective configuration; prints warnings. Throws a `CommandError` (usage) with every problem if it is
 * invalid.
 */
export async function readSettings(io: Io, flags: CommonFlags): Promise<Omit<LoadedConfig, 'warnings'>> {
  const { warnings, ...loaded } = settingsOf(io, flags, await settingsFile(io, flags));
  for (const warning of warnings) io.err(`libc-dns: warning: ${warning}\n`);
  return loaded;
}

/**
 * Returns a function that reads the configuration again, without warnings. Parsing takes milliseconds, so it returns the same object as
 * long as the file has the same text. Rejects like {@link readSettings}.
 */
export function createSettingsReader(io: Io, flags: CommonFlags): () => Promise<Config> {
  let last: { readonly text: string | undefined; readonly config: Config } | undefined;
  return async () => {
    const file = await settingsFile(io, flags);
    if (last === undefined || file?.text !== last.text) {
      last = { text: file?.text, config: settingsOf(io, flags, file).config };
    }
    return last.config;
  };
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

type SettingsFile = NonNullable<Parameters<typeof loadConfig>[0]['file']>;

function settingsOf({ environment }: Io, flags: CommonFlags, file: SettingsFile | undefined): LoadedConfig {
  try {
    return loadConfig({ ...(file !== undefined && { file }), environment, flags: overrides(flags) });
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError('usage', error.message, { cause: error });
    throw error;
  }
}

async function settingsFile(io: Io, flags: CommonFlags): Promise<SettingsFile | undefined> {
  const name = flags.config ?? io.environment['LIBC_DNS_CONFIG'];
  if (name === undefined || name === '') return undefined;
  try {
    return { name, text: await io.readFile(name) };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = missing ? 'no such file' : fileProblem(error);
    throw new CommandError('usage', `configuration file ${name}: ${why}`, { cause: error });
  }
}
