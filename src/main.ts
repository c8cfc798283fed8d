#!/usr/bin/env node
import { readFile, readdir, stat } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

import packageJson from '../package.json' with { type: 'json' };
import { collectGarbage } from './collect-garbage.ts';
import type { Io } from './commands/io.ts';
import { run } from './commands/program.ts';
import { composeDetector } from './compose-detection.ts';
import { composeServer } from './compose-server.ts';

const io: Io = {
  environment: process.env,
  stdinIsTerminal: process.stdin.isTTY,
  stdoutIsTerminal: process.stdout.isTTY,
  stderrIsTerminal: process.stderr.isTTY,
  columns: process.stdout.columns || 80,
  readStdin: () => text(process.stdin),
  readFile: (path) => readFile(path, 'utf8'),
  listFolder: async (path) => {
    const found = await stat(path).catch(() => undefined);
    return found?.isDirectory() ? readdir(path) : undefined;
  },
  out: (chunk) => void process.stdout.write(chunk),
  err: (chunk) => void process.stderr.write(chunk),
};

const inCluster = process.env['KUBERNETES_SERVICE_HOST'] !== undefined;

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

// `libc-dns inject | head` closes the pipe: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), {
  io,
  version: packageJson.version,
  inCluster,
  openServer: (context) =>
    composeServer(context, { version: packageJson.version, environment: process.env, inCluster }),
  openDetector: (config, { images }) =>
    composeDetector(config, {
      version: packageJson.version,
      environment: process.env,
      warn: (message) => io.err(`libc-dns: warning: ${message}\n`),
      ...(images && { person: { images } }),
    }),
  collectGarbage,
  untilStopped,
});
