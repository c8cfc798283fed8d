/** Exit codes: 0 done, 1 failed, 2 wrong usage or configuration. */
export type ExitCode = 0 | 1 | 2;

/** Ends a command with a message for the person who typed it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: 'failed' | 'usage';

  constructor(code: 'failed' | 'usage', message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get exitCode(): ExitCode {
    return this.code === 'usage' ? 2 : 1;
  }
}
