/** Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 found what `--fail-on` names. */
export type ExitCode = 0 | 1 | 2 | 3;

type Code = 'failed' | 'usage' | 'found';

const EXIT_CODES: Readonly<Record<Code, ExitCode>> = { failed: 1, usage: 2, found: 3 };

/** Ends a command with a message for the person who typed it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get exitCode(): ExitCode {
    return EXIT_CODES[this.code];
  }
}
