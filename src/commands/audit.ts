import { type Command, Option } from 'commander';

import { auditJunit } from '../audit/ci/junit.ts';
import { auditSarif } from '../audit/ci/sarif.ts';
import { type Accepted, acceptedWarnings, parseAccepted } from '../audit/findings/accepted.ts';
import { type Audited, type AuditFlags, type AuditingCommand, readAudit } from '../audit/read.ts';
import type { AuditReport } from '../audit/report/report.ts';
import { auditMarkdown } from '../audit/text/markdown.ts';
import { auditTable } from '../audit/text/table.ts';
import { resourceName } from '../manifests/pod-templates.ts';
import { helpText } from '../terminal/help.ts';
import {
  addClusterFlags,
  addFlags,
  addObjectFlags,
  type ColorFlag,
  DNS_FLAGS,
  outputFlag,
  withFiles,
} from '../terminal/flags.ts';
import { CommandError, type Io, painter } from '../terminal/io.ts';
import { openProgress } from '../terminal/progress.ts';
import { structuredText } from '../terminal/structured.ts';
import { systemClock } from '../util/clock.ts';
import { fileProblem } from '../util/files.ts';
import { counted, printable, printableLines } from '../util/text.ts';

interface Flags extends AuditFlags, ColorFlag {
  readonly output: 'table' | 'json' | 'yaml' | 'name' | 'markdown' | 'html' | 'sarif' | 'junit';
  readonly outputFile?: string;
  readonly failOn?: 'changes' | 'exposed' | 'findings';
  readonly accept?: string;
}

const HELP = `
Examples:
  libc-dns audit                                  all that runs in the cluster of the current context
  libc-dns audit -n shop -n payments              some namespaces
  libc-dns audit -o html --output-file dns.html   for a browser
  libc-dns audit manifests/ --fail-on changes     manifests, in CI
  libc-dns audit -o sarif --output-file dns.sarif --accept accepted.yaml --fail-on findings

The cluster is read and not changed: docs/audit.md lists the rights. Registry logins come from the docker configuration.
Exit status: 3 where --fail-on finds what it names; 1 where the audit itself failed.`;

/**
 * Adds `libc-dns audit`, which reports what runs in a cluster, what would change, and whether the fault is possible
 * there.
 */
export function auditCommand(program: Command, parts: AuditingCommand): void {
  const files = 'manifest file or folder, or - for standard input, instead of a cluster';
  const namespace = 'only this namespace; manifests without a namespace are in the first';
  const command = program
    .command('audit')
    .description('report what runs in a cluster, what would change, and which Pods are exposed')
    .addOption(outputFlag(['table', 'json', 'yaml', 'name', 'markdown', 'html', 'sarif', 'junit']))
    .option('--output-file <file>', 'write there instead of standard output; the file is replaced whole or not at all')
    .addOption(
      new Option('--fail-on <what>', 'exit with 3 where there are any').choices(['changes', 'exposed', 'findings']),
    )
    .option('--accept <file>', 'findings that do not count, each with a reason (YAML): docs/audit.md')
    .addHelpText('after', helpText(HELP));
  addObjectFlags(command, { files, namespace });
  addClusterFlags(command, 'kubeconfig; also KUBECONFIG, ~/.kube/config; in a Pod: its service account');
  addFlags(command, ['config', 'namespaceMode', ...DNS_FLAGS, 'offline', 'platform', 'color']).action(
    (named: string[], flags: Flags) => audit(parts, withFiles(named, flags)),
  );
}

async function audit(parts: AuditingCommand, flags: Flags): Promise<void> {
  refuseConflicts(flags);
  const signal = parts.untilInterrupted();
  const progress = openProgress(parts.io, systemClock);
  const accept = flags.accept === undefined ? undefined : await readAccepted(parts.io, flags.accept);
  let audited: Audited;
  try {
    audited = await readAudit({ parts, flags, signal, progress, ...(accept && { accept }) });
    signal.throwIfAborted();
  } catch (error) {
    if (signal.aborted) throw new CommandError('failed', 'interrupted: nothing was written', { cause: error });
    throw error;
  } finally {
    progress.done();
  }
  const { report } = audited;
  if (accept !== undefined) warnOfAccepted(parts, accept, report);
  await write(await rendered(audited, flags, parts), flags, parts);
  if (report.source.kind === 'manifests' && report.gaps.length > 0) {
    throw new CommandError('failed', `${counted(report.gaps.length, 'problem')}: see above`);
  }
  const problem = foundProblem(report, flags.failOn);
  if (problem !== undefined) throw new CommandError('found', problem);
}

async function readAccepted(io: Io, file: string): Promise<Accepted> {
  try {
    return parseAccepted(file, await io.readFile(file));
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError('usage', `--accept ${file}: ${fileProblem(error)}`, { cause: error });
  }
}

function warnOfAccepted({ io, now }: AuditingCommand, accept: Accepted, report: AuditReport): void {
  const findings = [...report.findings, ...report.accepted.map(({ finding }) => finding)];
  const { namespaces } = report.source;
  for (const line of acceptedWarnings(accept, { findings, namespaces, now: now() })) {
    io.err(`libc-dns: warning: ${printable(line)}\n`);
  }
}

function refuseConflicts(flags: Flags): void {
  const manifests = flags.filename !== undefined;
  if (flags.failOn === 'exposed' && manifests) {
    throw new CommandError(
      'usage',
      '--fail-on exposed needs a cluster: whether the fault is possible depends on its nodes',
    );
  }
  if (!manifests && flags.allNamespaces === true && flags.namespace !== undefined) {
    throw new CommandError('usage', 'give either --namespace or --all-namespaces');
  }
  if (manifests && (flags.kubeconfig !== undefined || flags.context !== undefined)) {
    throw new CommandError('usage', 'give either --filename or a cluster (--kubeconfig, --context)');
  }
}

/** Returns the message for exit code 3; undefined if `--fail-on` finds nothing. */
function foundProblem({ summary, source }: AuditReport, failOn: Flags['failOn']): string | undefined {
  const { podsThatWouldChange, exposure } = summary;
  const exposed = exposure.yes + exposure.possible;
  if (failOn === 'changes' && podsThatWouldChange > 0) {
    const what = source.kind === 'manifests' ? 'in the manifests ' : '';
    return `${counted(podsThatWouldChange, 'Pod')} ${what}would be created differently (--fail-on changes)`;
  }
  const { error, warning } = summary.findings;
  if (failOn === 'findings' && error + warning > 0) {
    return `${counted(error, 'error')} and ${counted(warning, 'warning')} found (--fail-on findings)`;
  }
  if (failOn === 'exposed' && exposed > 0) {
    return `${counted(exposed, 'Pod')} may lose DNS packets to the race: yes ${exposure.yes}, possible ${exposure.possible} (--fail-on exposed)`;
  }
  return undefined;
}

const API_VERSIONS: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  DaemonSet: 'apps/v1',
  ReplicaSet: 'apps/v1',
  Job: 'batch/v1',
  CronJob: 'batch/v1',
};

/** Lists the workloads whose Pods would be created differently, each once, as `kubectl get -o name` does: an owner's group is known of usual kinds alone. */
function changingNames({ workloads }: AuditReport): string {
  const changing = workloads.filter(({ decision }) => decision.change !== null);
  const names = changing.map((one) => resourceName(API_VERSIONS[one.kind] ?? 'v1', one));
  return [...new Set(names)].map((name) => `${printable(name)}\n`).join('');
}

/** Width of a table that does not go to a terminal: wide enough to cut nothing. */
const UNCUT = 10_000;

async function rendered(audited: Audited, { output, outputFile, color }: Flags, { io }: AuditingCommand) {
  const { report } = audited;
  if (output === 'sarif') return auditSarif(audited);
  if (output === 'junit') return auditJunit(audited);
  if (output === 'json' || output === 'yaml') return structuredText(report, output);
  if (output === 'name') return changingNames(report);
  if (output === 'markdown') return auditMarkdown(report);
  if (output === 'html') {
    // Loads some hundred kilobytes, so only for this format.
    const { htmlReport } = await import('../audit/html/report.ts');
    return htmlReport(report);
  }
  const toTerminal = io.stdoutIsTerminal && outputFile === undefined;
  return auditTable(report, { width: toTerminal ? io.columns : UNCUT, paint: painter(io, color && toTerminal) });
}

async function write(text: string, { outputFile }: Flags, { io, writeFile }: AuditingCommand): Promise<void> {
  if (outputFile === undefined) {
    io.out(text, 'styled');
    return;
  }
  try {
    await writeFile(outputFile, printableLines(text));
  } catch (error) {
    throw new CommandError('failed', `--output-file ${outputFile}: ${fileProblem(error)}`, { cause: error });
  }
}
