import { Command, CommanderError } from 'commander';

import type { AuditingCommand } from '../audit/read.ts';
import { completionCommand } from '../terminal/completion.ts';
import { helpText } from '../terminal/help.ts';
import { CommandError, type ExitCode, openIo, type Streams } from '../terminal/io.ts';
import { auditCommand } from './audit.ts';
import { configCommand } from './config.ts';
import { detectCommand } from './detect.ts';
import { doctorCommand, type DoctorCommand } from './doctor.ts';
import { explainCommand } from './explain.ts';
import { injectCommand } from './inject.ts';
import { serveCommand, type ServeParts } from './serve.ts';
import { versionCommand } from './version.ts';

interface Commands extends ServeParts, AuditingCommand, DoctorCommand {}

/** The dependencies of all commands. */
export interface ProgramParts extends Omit<Commands, 'io'> {
  readonly io: Streams;
}

/** Runs a command line without `node` and the script. Resolves with the exit code; prints messages to `io.err`. */
export async function run(argv: readonly string[], { io: streams, ...others }: ProgramParts): Promise<ExitCode> {
  const parts = { ...others, io: openIo(streams) };
  const program = build(parts);
  try {
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof CommandError) {
      parts.io.err(`libc-dns: ${error.message}\n`);
      return error.exitCode;
    }
    parts.io.err(`libc-dns: unexpected: ${error instanceof Error ? error.stack : String(error)}\n`);
    return 1;
  }
}

const HELP = `
Examples:
  libc-dns explain -f deployment.yaml        what would be done for each Pod, and why
  libc-dns inject -f deployment.yaml         the patched manifest
  libc-dns audit                             what runs in the cluster, and whether it needs this
  libc-dns serve --namespace-mode enforce    the webhook, on loopback
  libc-dns doctor                            is the fault possible in my cluster, is the webhook healthy?

Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 found what --fail-on names.

docs/ is at https://github.com/libc-dns/libc-dns-webhook/tree/main/docs`;

/** The fewest columns in which what flags do is wrapped. */
const LEAST_HELP_COLUMNS = 16;

function build(parts: Commands): Command {
  const program = new Command('libc-dns')
    .description("Gives every Pod the DNS options that its images' resolvers obey (glibc, musl, Go).")
    .version(parts.version)
    .showHelpAfterError('(see libc-dns --help)')
    .configureOutput({
      writeOut: parts.io.out,
      writeErr: (text) => parts.io.err(text, 'laid-out'),
      getOutHelpWidth: () => parts.io.columns,
      getErrHelpWidth: () => parts.io.columns,
      outputError: (text) => parts.io.err(text.replace(/^error: /, 'libc-dns: ').replace('\n(Did', ' (Did')),
    })
    .configureHelp({ minWidthToWrap: LEAST_HELP_COLUMNS })
    .addHelpText('after', helpText(HELP))
    .exitOverride();
  serveCommand(program, parts);
  injectCommand(program, parts);
  explainCommand(program, parts);
  detectCommand(program, parts);
  auditCommand(program, parts);
  doctorCommand(program, parts);
  configCommand(program, parts);
  completionCommand(program, parts);
  versionCommand(program, parts);
  for (const command of program.commands) command.showHelpAfterError(`(see libc-dns ${command.name()} --help)`);
  return program;
}
