#!/usr/bin/env node
import { isSea } from 'node:sea';
import { fileURLToPath } from 'node:url';

import packageJson from '../package.json' with { type: 'json' };
import { openDetector } from './app/detection.ts';
import { personalReporter, type Surroundings } from './app/join.ts';
import { rehearse } from './app/rehearsal.ts';
import { openServer } from './app/serve.ts';
import { type ProgramParts, run } from './commands/program.ts';
import { listFolder, readTextFile, readTextStream } from './terminal/input.ts';
import type { Streams } from './terminal/io.ts';
import { replaceFile } from './util/files.ts';
import { collectGarbage } from './util/memory.ts';
import { printable } from './util/text.ts';

const io: Streams = {
  environment: process.env,
  stdinIsTerminal: process.stdin.isTTY,
  stdoutIsTerminal: process.stdout.isTTY,
  stderrIsTerminal: process.stderr.isTTY,
  columns: process.stdout.columns || process.stderr.columns || 80,
  readStdin: () => readTextStream(process.stdin),
  readFile: readTextFile,
  listFolder,
  out: (chunk) => void process.stdout.write(chunk),
  err: (chunk) => void process.stderr.write(chunk),
};

const around: Surroundings = {
  version: packageJson.version,
  environment: process.env,
  inCluster: process.env['KUBERNETES_SERVICE_HOST'] !== undefined,
};

/** `npm run build` bundles both programs into one folder; a single executable (executable.ts) is both. */
const readerPath = isSea()
  ? process.execPath
  : fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'reader.ts' : 'reader.js', import.meta.url));

const warn = (message: string): void => io.err(`libc-dns: warning: ${printable(message)}\n`);

function untilStopped(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        // A second signal ends the process at once.
        process.once(signal, () => process.exit(1));
        resolve(signal);
      });
    }
  });
}

function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController();
  void untilStopped().then((signal) => interrupted.abort(signal));
  return interrupted.signal;
}

/** Without a listener of ours Node opens its debugger's port at SIGUSR1, and dies of SIGUSR2. */
function onVerbosity(change: (by: 1 | -1) => void): void {
  process.on('SIGUSR1', () => change(1));
  process.on('SIGUSR2', () => change(-1));
}

process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
  // `libc-dns inject | head` closes the pipe: that is no failure.
  if (code === 'EPIPE') process.exit(0);
  io.err(`libc-dns: the output could not be written: ${message}\n`);
  process.exit(1);
});

const parts: ProgramParts = {
  io,
  version: around.version,
  inCluster: around.inCluster,
  openServer: (context) => openServer(context, { ...around, readerPath }),
  openDetector: (config, { images }) =>
    openDetector(config, { ...around, reporter: personalReporter(warn), ...(images && { person: { images } }) }),
  openCluster: async (flags) => {
    const { openAudit } = await import('./app/audit.ts');
    return await openAudit(flags, { ...around, warn });
  },
  writeFile: replaceFile,
  now: () => new Date(),
  openDoctor: async (context) => {
    // Loaded only here: the server starts faster without it.
    const { openDoctor } = await import('./app/doctor.ts');
    return await openDoctor(context, around);
  },
  collectGarbage,
  rehearse,
  untilStopped,
  onVerbosity,
  untilInterrupted,
};

async function main(): Promise<void> {
  process.exitCode = await run(process.argv.slice(2), parts);
}

// Not awaited: bin/libc-dns.cjs loads this by require(), which refuses modules that wait.
void main();
