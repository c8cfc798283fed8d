import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
}

/** Runs a program to its end and returns its standard output. Rejects with its last output if it fails. */
export async function command(name: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  try {
    const env = { ...process.env, ...options.env };
    const running = run(name, args, { cwd: options.cwd, env, maxBuffer: 64 << 20, timeout: 600_000 });
    // A program that ends before it has read its input reports its own error.
    running.child.stdin?.on('error', () => {}).end(options.input ?? '');
    const { stdout } = await running;
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    const words = stderr?.trim().split('\n').slice(-3).join(' / ') ?? '';
    const why = code === 'ENOENT' ? 'is not installed' : `failed: ${words || String(code)}`;
    throw new Error(`${[name, ...args].join(' ').slice(0, 120)}: ${why}`, { cause: error });
  }
}
