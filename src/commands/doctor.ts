import { type Command, InvalidArgumentError } from 'commander';

import type { Config } from '../config/schema.ts';
import { allChecks, chooseChecks } from '../doctor/all-checks.ts';
import type { Status } from '../doctor/check.ts';
import { createEvidence, type DoctorParts } from '../doctor/evidence.ts';
import { doctorReport, type DoctorReport, fails, reportText, type TextStyle } from '../doctor/report.ts';
import { type Check, runChecks } from '../doctor/run.ts';
import { helpText } from '../terminal/help.ts';
import {
  addClusterFlags,
  addFlags,
  type ClusterFlags,
  collectWords,
  type ColorFlag,
  type CommonFlags,
  outputFlag,
  readSettings,
  shortValue,
} from '../terminal/flags.ts';
import { CommandError, type Io, painter } from '../terminal/io.ts';
import { type Structured, structuredText } from '../terminal/structured.ts';
import { counted, printable } from '../util/text.ts';

interface DoctorFlags extends CommonFlags, ClusterFlags, ColorFlag {
  readonly output: 'table' | Structured;
  readonly namespace?: string;
  readonly strict?: boolean;
  readonly check?: string[];
  readonly skip?: string[];
  readonly webhook?: { readonly host: string; readonly port: number };
}

/** The command line and configuration of a diagnosis. */
export interface DoctorContext {
  readonly config: Config;
  readonly flags: DoctorFlags;
  /** Reports whether anything but a default sets a key. */
  readonly isSet: (key: string) => boolean;
  /** The configuration file that the user named; undefined if none. */
  readonly configGiven: string | undefined;
  /** Prints a warning beside the report. */
  readonly warn: (message: string) => void;
}

export interface OpenDoctor {
  readonly parts: DoctorParts;
  readonly close: () => Promise<void>;
}

/** The dependencies of `libc-dns doctor`. */
export interface DoctorCommand {
  readonly io: Io;
  readonly version: string;
  /** Rejects with `CommandError` if the cluster that the flags name cannot be used. */
  readonly openDoctor: (context: DoctorContext) => Promise<OpenDoctor>;
}

const HELP = `
Examples:
  libc-dns doctor                     the cluster of the current kubectl context
  libc-dns doctor -o json --strict    for CI: warnings count, too

The cluster DNS can only be asked from within, in a replica or on a node:
  kubectl -n libc-dns exec deploy/libc-dns-webhook -- /nodejs/bin/node main.js doctor \\
    --config /etc/libc-dns/config.yaml --check dns,trust,certificates
  libc-dns doctor --check dns --cluster-dns 10.96.0.10

Reads, and changes nothing; a Pod is created as a dry run (--skip rehearsal leaves it out). What may
not be read is skipped. docs/doctor.md says what each check looks at.
Exit status: 0 no failure, 1 failures (with --strict: or warnings), 2 wrong usage.`;

/**
 * Adds `libc-dns doctor`, which finds out whether the fault is possible in a cluster and whether the webhook works
 * there.
 */
export function doctorCommand(program: Command, command: DoctorCommand): void {
  const sub = program
    .command('doctor')
    .description('check whether the fault is possible here, and whether the webhook is healthy')
    .addOption(outputFlag(['table', 'json', 'yaml']))
    .option('--strict', 'exit status 1 for warnings, too')
    .option('--check <name>', 'only this check or group of checks (a,b or repeated)', collectWords)
    .option('--skip <name>', 'not this check or group of checks (a,b or repeated)', collectWords)
    .option(
      '--webhook <host:port>',
      'address of a replica whose certificate to check, such as a port-forward',
      hostAndPort,
    )
    .option(
      '-n, --namespace <name>',
      'of the release to look at where there are several, and of the Pod that is created as a dry run',
      shortValue,
    )
    .addHelpText('after', helpText(HELP));
  addClusterFlags(sub, 'the cluster of this kubeconfig (default: as kubectl finds it)');
  addFlags(sub, ['config', 'clusterDns', 'clusterDomain', 'offline', 'color']).action((flags: DoctorFlags) =>
    doctor(command, flags),
  );
}

async function doctor(command: DoctorCommand, flags: DoctorFlags): Promise<void> {
  const { io } = command;
  const report = await diagnose(command, flags);
  if (flags.output === 'table') io.out(reportText(report, styleFor(io, flags.color)), 'styled');
  else io.out(structuredText(report, flags.output));
  if (fails(report, flags.strict === true)) throw new CommandError('failed', whyFailed(report));
}

async function diagnose(command: DoctorCommand, flags: DoctorFlags): Promise<DoctorReport> {
  const { io, version, openDoctor } = command;
  const { config, isSet } = await readSettings(io, flags);
  const configGiven = flags.config ?? io.environment['LIBC_DNS_CONFIG'];
  const warn = (message: string): void => io.err(`libc-dns: warning: ${printable(message)}\n`);
  const { parts, close } = await openDoctor({ config, flags, isSet, configGiven: configGiven || undefined, warn });
  try {
    const evidence = createEvidence(parts);
    const checks = chosen(allChecks(evidence), flags);
    const waiting = new Set(checks.map(({ id }) => id));
    const checked = await runChecks(checks, new AbortController().signal, ({ id }) => {
      waiting.delete(id);
      io.progress(waiting.size > 0 ? `waiting for ${[...waiting].join(', ')}` : '');
    });
    // Does not read the cluster if the flags leave no check.
    const { from } = checks.length > 0 ? await evidence.webhookConfig() : { from: 'defaults' };
    return doctorReport(checked, {
      now: new Date(parts.clock.now()),
      version,
      ...(parts.view && { server: parts.view.server }),
      configuration: from,
    });
  } finally {
    await close();
  }
}

function chosen(checks: readonly Check[], flags: DoctorFlags): readonly Check[] {
  const { check = [], offline = false } = flags;
  const skip = [...(flags.skip ?? []), ...(offline ? [ASKS_REGISTRIES] : [])];
  const known = new Set(checks.flatMap(({ id, group }) => [id, group]));
  const unknown = [...check, ...skip].find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new CommandError('usage', `there is no check ${printable(unknown)}; there are: ${[...known].join(', ')}`);
  }
  return chooseChecks(checks, check, skip);
}

/** The check that `--offline` leaves out, whatever the webhook's own configuration says. */
const ASKS_REGISTRIES = 'registries';

function whyFailed({ summary, checks }: DoctorReport): string {
  const { failure, warning } = summary;
  const all = counted(checks.length, 'check');
  if (failure > 0) return `${failure} of ${all} failed`;
  return warning > 0 ? `${warning} of ${all} warned (--strict)` : 'nothing could be checked';
}

const STYLES = { ok: 'green', warning: 'yellow', failure: 'red', skipped: 'gray' } as const;

function styleFor(io: Io, color: boolean): TextStyle {
  const paint = painter(io, color);
  return {
    columns: io.stdoutIsTerminal ? io.columns : 100,
    status: (status: Status, text) => paint(STYLES[status], text),
    heading: (text) => paint('bold', text),
    dim: (text) => paint('dim', text),
    command: (text) => paint('cyan', text),
  };
}

function hostAndPort(text: string): { host: string; port: number } {
  const match = /^(\[[\da-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) throw new InvalidArgumentError('expected HOST:PORT.');
  return { host: (match[1] ?? '').replaceAll(/[[\]]/g, ''), port };
}
