import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { MissingSource } from './cache.ts';

const run = promisify(execFile);
const MINUTE = 60_000;

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program and returns its standard output. Rejects with `MissingSource` if it is missing or fails. */
export async function command(name: string, args: readonly string[], options: CommandOptions = {}): Promise<Buffer> {
  try {
    const { stdout } = await run(name, args, {
      encoding: 'buffer',
      maxBuffer: 512 << 20,
      timeout: 10 * MINUTE,
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: Buffer };
    const last = stderr?.toString().trim().split('\n').at(-1) ?? '';
    const why = code === 'ENOENT' ? 'is not installed' : `failed: ${last === '' ? String(code) : last}`;
    throw new MissingSource(`${name} ${why}`, { cause: error });
  }
}
