import { execFile, execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs buildah with the arguments; returns its standard output. Rejects with its last words. */
export type Buildah = (args: readonly string[], timeoutMs?: number) => Promise<string>;

export function buildahVersion(): string | undefined {
  try {
    return execFileSync('buildah', ['--version'], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return undefined;
  }
}

/** Removes the folder of a buildah: what a user without root has unpacked there belongs to others. */
export function removeStore(folder: string): void {
  if (process.getuid?.() === 0) rmSync(folder, { recursive: true, force: true });
  else execFileSync('buildah', ['unshare', 'rm', '-rf', folder], { stdio: 'inherit' });
}

/** A buildah whose images and containers are all below `folder`, and that needs neither a daemon nor an OCI runtime. */
export function createBuildah(folder: string): Buildah {
  const place = ['--storage-driver', 'vfs', '--root', join(folder, 'root'), '--runroot', join(folder, 'run')];
  const env = { ...process.env, BUILDAH_ISOLATION: 'chroot', TMPDIR: folder };
  return async (args, timeoutMs = 900_000) => {
    try {
      const { stdout } = await run('buildah', [...place, ...args], { env, maxBuffer: 64 << 20, timeout: timeoutMs });
      return stdout.trim();
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      const words = `${stdout}\n${stderr}`.trim().split('\n').slice(-12).join('\n  ');
      throw new Error(`buildah ${args.join(' ').slice(0, 200)}\n  ${words}`, { cause: error });
    }
  };
}
