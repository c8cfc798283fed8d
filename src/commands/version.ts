import type { Command } from 'commander';

import { createEvidence } from '../doctor/evidence.ts';
import { type ReplicaVersion, replicaVersions } from '../doctor/webhook/version.ts';
import { helpText } from '../terminal/help.ts';
import { addClusterFlags, type ClusterFlags, outputFlag, readSettings, shortValue } from '../terminal/flags.ts';
import { textWidth } from '../terminal/io.ts';
import { wrapped } from '../terminal/layout.ts';
import { type Structured, structuredText } from '../terminal/structured.ts';
import { counted, messageOf } from '../util/text.ts';
import type { DoctorCommand } from './doctor.ts';

interface VersionFlags extends ClusterFlags {
  readonly client?: boolean;
  readonly namespace?: string;
  readonly output: 'text' | Structured;
}

const HELP = `
Examples:
  libc-dns version             of this program, and of the webhook in the cluster of kubectl
  libc-dns version --client    of this program alone`;

/** Adds `libc-dns version`. */
export function versionCommand(program: Command, command: DoctorCommand): void {
  const sub = program
    .command('version')
    .description('print the version of this program, and of the webhook in the cluster')
    .option('--client', 'ask no cluster')
    .option('-n, --namespace <name>', 'of the release to look at where there are several', shortValue)
    .addOption(outputFlag(['text', 'json', 'yaml']))
    .addHelpText('after', helpText(HELP));
  addClusterFlags(sub, 'the cluster of this kubeconfig (default: as kubectl finds it)').action((flags: VersionFlags) =>
    version(command, flags),
  );
}

/** The webhook of a cluster: what its replicas run, or why that is not known. */
type Installed = { readonly replicas: readonly ReplicaVersion[] } | { readonly error: string };

async function version(command: DoctorCommand, flags: VersionFlags): Promise<void> {
  const { io } = command;
  const client = {
    version: command.version,
    node: process.versions.node,
    platform: `${process.platform}/${process.arch}`,
  };
  const webhook = flags.client === true ? undefined : await installed(command, flags);
  if (flags.output !== 'text') {
    io.out(structuredText({ client, ...(webhook && { webhook }) }, flags.output));
    return;
  }
  const line = (name: string, text: string): void =>
    io.out(wrapped(text, textWidth(io), name.padEnd(9), ' '.repeat(9)));
  line('client', `${client.version} (Node ${client.node}, ${client.platform})`);
  if (webhook !== undefined) line('webhook', 'error' in webhook ? webhook.error : described(webhook.replicas));
}

async function installed({ io, openDoctor }: DoctorCommand, flags: VersionFlags): Promise<Installed> {
  const { config, isSet } = await readSettings(io, {});
  const context = { config, flags: { ...flags, output: 'table', color: false } as const, isSet };
  const { parts, close } = await openDoctor({ ...context, configGiven: undefined, warn: () => {} });
  try {
    return { replicas: await replicaVersions(createEvidence(parts)) };
  } catch (error) {
    return { error: `not known: ${messageOf(error)}` };
  } finally {
    await close();
  }
}

function described(replicas: readonly ReplicaVersion[]): string {
  if (replicas.length === 0) return 'none in this cluster';
  const versions = Map.groupBy(replicas, ({ version: one }) => one ?? 'unknown version');
  return [...versions]
    .map(([one, { length }]) => `${one} (${counted(length, 'replica')})`)
    .toSorted()
    .join(', ');
}
