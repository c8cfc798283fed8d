import { Readable } from 'node:stream';

import { openDetector } from '../../src/app/detection.ts';
import { personalReporter } from '../../src/app/join.ts';
import type { AuditCluster } from '../../src/audit/cluster.ts';
import { type ProgramParts, run } from '../../src/commands/program.ts';
import type { Detector } from '../../src/detection/detector.ts';
import { listFolder, readTextFile, readTextStream } from '../../src/terminal/input.ts';
import type { CommandError, Streams } from '../../src/terminal/io.ts';
import { replaceFile } from '../../src/util/files.ts';

export interface CliOptions {
  readonly stdin?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  readonly terminal?: boolean;
  /** Default 80. */
  readonly columns?: number;
  readonly detector?: Detector;
  /** The cluster that `audit`, `explain` and `inject` read. */
  readonly cluster?: AuditCluster | CommandError;
  /** Default false. */
  readonly inCluster?: boolean;
  readonly signal?: AbortSignal;
  /** Looks images up in real registries, like the program. */
  readonly registries?: boolean;
  readonly openDoctor?: ProgramParts['openDoctor'];
  /** Default: writes to the disk. */
  readonly writeFile?: ProgramParts['writeFile'];
}

export interface CliResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const notHere = (): never => {
  throw new Error('not in this test');
};

/** Runs a command line in this process, with the real file system and with standard input and output in memory. */
export async function cli(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  let out = '';
  let err = '';
  const terminal = options.terminal ?? false;
  const io: Streams = {
    environment: options.environment ?? {},
    stdinIsTerminal: options.stdin === undefined,
    stdoutIsTerminal: terminal,
    stderrIsTerminal: terminal,
    columns: options.columns ?? 80,
    readStdin: async () => await readTextStream(Readable.from([Buffer.from(options.stdin ?? '')])),
    readFile: readTextFile,
    listFolder,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
  };
  const parts: ProgramParts = {
    io,
    version: '0.0.0-test',
    inCluster: options.inCluster ?? false,
    openServer: notHere,
    openDoctor: options.openDoctor ?? notHere,
    collectGarbage: () => {},
    rehearse: notHere,
    untilStopped: notHere,
    onVerbosity: notHere,
    openCluster: async () => {
      if (options.cluster instanceof Error) throw options.cluster;
      return options.cluster ?? notHere();
    },
    writeFile: options.writeFile ?? replaceFile,
    untilInterrupted: () => options.signal ?? new AbortController().signal,
    now: () => new Date('2026-11-21T00:00:00Z'),
    openDetector: async (config, { images }) =>
      options.registries
        ? openDetector(config, {
            version: '0.0.0-test',
            environment: options.environment ?? {},
            reporter: personalReporter((message) => io.err(`warning: ${message}\n`)),
            ...(images && { person: { images } }),
          })
        : { ...(options.detector && { detector: options.detector }), close: async () => {} },
  };
  const code = await run(argv, parts);
  return { code, out, err };
}
