import { execFileSync } from 'node:child_process';

/** Whether a program is on the path. Says loudly on standard error what did not run, and how to get it, where it is not. */
export function hasTool(name: string, howToGet: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'pipe' });
    return true;
  } catch {
    process.stderr.write(`\n!! TESTS WITH ${name} DID NOT RUN: ${howToGet}\n\n`);
    return false;
  }
}
