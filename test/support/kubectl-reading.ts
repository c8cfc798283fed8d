import { execFileSync } from 'node:child_process';

/** What kubectl reads in a text: its objects, and the error that it stops at. */
export interface Reading {
  readonly documents: readonly unknown[];
  readonly error?: string;
}

const FOLDER = `${import.meta.dirname}/kubectl-reading`;

const run = (program: string, args: readonly string[], input = ''): string =>
  execFileSync(program, args, {
    cwd: FOLDER,
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    stdio: ['pipe', 'pipe', 'pipe'],
  });

/**
 * Returns a function that reads texts with the packages that kubectl reads them with; undefined if there is no Go that can build it, which it
 * says loudly on standard error.
 */
export function kubectlReading(): ((texts: readonly string[]) => Reading[]) | undefined {
  try {
    run('go', ['build', '-o', '/dev/null', '.']);
  } catch (error) {
    process.stderr.write(
      `\n!! TESTS AGAINST THE YAML OF KUBECTL DID NOT RUN: Go cannot build ${FOLDER}: ${String(error)}\n\n`,
    );
    return undefined;
  }
  return (texts) => JSON.parse(run('go', ['run', '.'], JSON.stringify(texts))) as Reading[];
}
