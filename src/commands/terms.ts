import { ASSUMED_OUTSIDE, type AuditCluster, readTerms } from '../audit/cluster.ts';
import type { AuditingCommand } from '../audit/read.ts';
import type { Gap } from '../audit/report/report.ts';
import type { Surroundings } from '../audit/scan/scanned.ts';
import type { Config } from '../config/schema.ts';
import type { ClusterFacts } from '../policy/model.ts';
import {
  assumptions,
  type ClusterFlags,
  type CommonFlags,
  configuredFacts,
  type ObjectFlags,
  readSettings,
} from '../terminal/flags.ts';
import { CommandError, type Io } from '../terminal/io.ts';
import { printable } from '../util/text.ts';

/** The dependencies of commands that decide about manifests. */
export interface ManifestCommand extends AuditingCommand {
  /** True in a Pod. */
  readonly inCluster: boolean;
}

/** What decisions about manifests come from, besides the manifests and their images. */
export interface Terms {
  readonly config: Config;
  readonly facts: ClusterFacts;
  /** The namespace of manifests that name none. */
  readonly namespace: string;
  /** What was read of the cluster; undefined if no cluster is read. */
  readonly cluster: Surroundings | undefined;
  /** Facts that nothing tells, each with what sets it. */
  readonly assumed: readonly string[];
}

type Flags = CommonFlags & ClusterFlags & Pick<ObjectFlags, 'namespace'>;

/** Where `kubectl` puts an object that names no namespace. */
const DEFAULT_NAMESPACE = 'default';

/**
 * Reads the cluster that `--kubeconfig` or `--context` names, or that this Pod runs in, as `audit` does; prints on stderr which it is and what
 * could not be read of it. Else takes the configuration, and assumes the rest. Rejects with `CommandError` if the named cluster does not answer.
 */
export async function termsOf(
  parts: ManifestCommand,
  flags: Flags,
  onProgress: (what: string) => void = () => {},
): Promise<Terms> {
  const isNamed = flags.kubeconfig !== undefined || flags.context !== undefined;
  if (!isNamed && !parts.inCluster) return await termsWithout(parts.io, flags);
  let cluster: AuditCluster | undefined;
  try {
    cluster = await parts.openCluster(flags);
    await cluster.ping(NEVER);
  } catch (error) {
    await cluster?.close();
    if (isNamed || !(error instanceof CommandError)) throw error;
    parts.io.err(`libc-dns: warning: the cluster of this Pod is not read: ${printable(error.message)}\n`);
    return await termsWithout(parts.io, flags);
  }
  try {
    return await termsIn(cluster, { io: parts.io, flags, onProgress });
  } finally {
    await cluster.close();
  }
}

/** A signal ends these commands at once: they hold nothing that has to be put away. */
const NEVER = new AbortController().signal;

interface Reading {
  readonly io: Io;
  readonly flags: Flags;
  readonly onProgress: (what: string) => void;
}

async function termsIn(cluster: AuditCluster, { io, flags, onProgress }: Reading): Promise<Terms> {
  const { config, from, facts, section, surroundings, gaps } = await readTerms(cluster, {
    io,
    flags,
    namespaces: [],
    read: (request) => cluster.surroundings(request),
    signal: NEVER,
    onProgress,
  });
  const namespace = flags.namespace?.[0] ?? cluster.namespace ?? DEFAULT_NAMESPACE;
  io.err(
    `libc-dns: read of the cluster at ${printable(cluster.server)}; configuration: ${printable(from)}; namespace of manifests that name none: ${printable(namespace)}\n`,
  );
  for (const gap of [...gaps, ...surroundings.gaps]) {
    if (gap !== ASSUMED_OUTSIDE) io.err(`libc-dns: warning: not read: ${printable(gapText(gap))}\n`);
  }
  const { dns, domain, nodeSearches } = section;
  const assumed = assumptions({
    ...(dns.source === 'built-in' && { dns: dns.value }),
    ...(domain.source === 'built-in' && { domain: domain.value }),
    noSearches: nodeSearches.source === 'built-in',
  });
  return { config, facts, namespace, cluster: surroundings, assumed };
}

const gapText = ({ what, message, grant }: Gap): string => `${what}: ${message}. Needed: ${grant}`;

async function termsWithout(io: Io, flags: Flags): Promise<Terms> {
  const { config } = await readSettings(io, flags);
  const { facts, assumed } = configuredFacts(config);
  const { glibc, nodeLocal } = config;
  const unseen = [
    ...(nodeLocal.mode === 'auto' ? ['no node-local cache (--node-local)'] : []),
    ...(glibc.tcpPreflight && glibc.options.includes('use-vc')
      ? ['no DNS over TCP, hence no use-vc (glibc.tcpPreflight)']
      : []),
  ];
  return {
    config,
    facts,
    namespace: flags.namespace?.[0] ?? DEFAULT_NAMESPACE,
    cluster: undefined,
    assumed: [...assumed, ...unseen],
  };
}
