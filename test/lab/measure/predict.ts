import { fileURLToPath } from 'node:url';
import { command } from '../command.ts';
import { CLUSTER_DNS, NODE_LOCAL, type NodeName } from '../network/plan.ts';
import type { Knowledge } from '../scenarios/scenario.ts';
import { manifestOf, type PodPlan, policyOf } from './plan-pods.ts';

/** The parts of an entry of `explain -o json` (docs/cli.md) that the lab uses. */
interface Entry {
  readonly name: string;
  readonly reason: string;
  readonly resolvConf: Readonly<Record<'before' | 'after', ResolvConf>>;
  readonly patch: readonly { readonly path: string; readonly value: unknown }[];
}

interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface Prediction {
  readonly reason: string;
  /** The Pod's /etc/resolv.conf. */
  readonly resolvConf: string;
  /** Of the cache in the Pod, if it gets one. */
  readonly corefile?: string;
}

/** Where our patch puts the configuration of the cache in the Pod. */
const COREFILE = '/metadata/annotations/libc-dns.dev~1corefile';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

/** Formats the file as container runtimes write it. */
function fileOf({ servers, searches, options }: ResolvConf): string {
  const lines = [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

interface Call {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

function callOf(
  { family = 'v4', nodeLocal = false, fallback = true, overTcp, policies = true }: Knowledge,
  tcpSeen: boolean,
): Call {
  const flags = [
    '--offline',
    '--cluster-dns',
    CLUSTER_DNS[family],
    '--cluster-domain',
    'cluster.local',
    '--node-searches',
    '',
  ];
  return {
    args: ['explain', '-f', '-', '-o', 'json', ...flags, '--node-local', nodeLocal ? NODE_LOCAL[family] : 'off'],
    env: {
      LIBC_DNS_NODE_LOCAL_FALLBACK: String(fallback),
      LIBC_DNS_NETWORK_POLICIES: String(policies),
      // Without a cluster `explain` does not assume TCP: this is how an operator who has checked turns the preflight off.
      LIBC_DNS_GLIBC_TCP_PREFLIGHT: String(!(overTcp === 'assumed' || tcpSeen)),
    },
  };
}

/**
 * Returns what `libc-dns explain` predicts for each Pod, by name: its resolv.conf as it is, or as our patch makes it. `overTcp`
 * reports whether the webhook's preflight on the Pod's node got an answer over TCP.
 */
export async function predict(
  plans: readonly PodPlan[],
  overTcp: (node: NodeName) => boolean,
): Promise<Map<string, Prediction>> {
  const calls = Map.groupBy(plans, ({ column, node }) => JSON.stringify(callOf(column.knowledge ?? {}, overTcp(node))));
  const predictions = new Map<string, Prediction>();
  const ask = async (key: string, pods: readonly PodPlan[]): Promise<void> => {
    const { args, env } = JSON.parse(key) as Call;
    const scenarios = [...new Set(pods.map(({ scenario }) => scenario))];
    const documents = [...scenarios.flatMap(policyOf), ...pods.map(manifestOf)];
    const input = documents.map((document) => JSON.stringify(document)).join('\n---\n');
    const entries = JSON.parse(await command(process.execPath, [MAIN, ...args], { input, env })) as Entry[];
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    for (const { name, column } of pods) {
      const entry = byName.get(name);
      if (entry === undefined) throw new Error(`explain says nothing of ${name}`);
      const file = entry.resolvConf[column.file];
      const servers = column.sidecar === 'alone' ? file.servers.slice(0, 1) : file.servers;
      const corefile = entry.patch.find(({ path }) => path === COREFILE)?.value;
      predictions.set(name, {
        reason: entry.reason,
        resolvConf: fileOf({ ...file, servers }),
        ...(typeof corefile === 'string' && { corefile }),
      });
    }
  };
  await Promise.all([...calls].map(([key, pods]) => ask(key, pods)));
  return predictions;
}
