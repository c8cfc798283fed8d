import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { podReview } from '../../support/reviews.ts';
import { type Fault, keep } from '../fault.ts';
import { NotTried, temporaryFolder } from '../support/world.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const POD = JSON.stringify(podReview().request.object);
const FLAGS = ['-f', '-', '--offline', '--namespace-mode', 'enforce'];

/** Runs the command with its output going to a file. */
async function toFile(
  file: string,
  args: readonly string[],
  input: string,
): Promise<{ code: number | null; err: string }> {
  const out = openSync(file, 'w');
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', out, 'pipe'] });
  closeSync(out);
  let err = '';
  child.stderr?.on('data', (chunk: Buffer) => void (err += chunk.toString()));
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, err };
}

/** Reports whether the error output names the cause, without a stack trace. */
const isTold = (err: string): boolean => /ENOSPC|no space/i.test(err) && !/\n\s+at /.test(err);

const fullPipe: Fault = {
  id: 'full-disk',
  name: 'the output of inject, explain and audit goes to a full disk',
  promise: 'exit status 1 and one sentence that says why',
  async run() {
    if (!existsSync('/dev/full')) throw new NotTried('no /dev/full');
    const seen: string[] = [];
    for (const command of ['inject', 'explain', 'audit']) {
      const { code, err } = await toFile('/dev/full', [command, ...FLAGS], POD);
      keep(code === 1 && isTold(err), `${command}: ${code}, ${err.slice(0, 400)}`);
      seen.push(`${command}: ${code}, "${err.trim().split('\n').at(-1) ?? ''}"`);
    }
    return seen.join('; ');
  },
};

const fullFolder: Fault = {
  id: 'full-disk-report',
  name: 'the report of an audit replaces one on a disk that is full',
  promise: 'exit status 1, one sentence that says why; the old report is still there, and nothing else',
  async run(world) {
    const folder = await temporaryFolder(world);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', folder], { stdio: 'ignore' });
    } catch {
      throw new NotTried('needs root and the right to mount');
    }
    world.afterwards(() => execFileSync('umount', [folder]));
    const report = join(folder, 'dns.html');
    writeFileSync(report, 'the old one');
    const args = ['audit', ...FLAGS, '-o', 'html', '--output-file', report];
    const { code, err } = await toFile('/dev/null', args, POD);
    const left = readdirSync(folder).join(', ');
    const seen = `${code}, "${err.trim().split('\n').at(-1) ?? ''}"; left: ${left}, ${statfsSync(folder).bfree} blocks free`;
    keep(code === 1 && isTold(err) && left === 'dns.html' && readFileSync(report, 'utf8') === 'the old one', seen);
    return seen;
  },
};

export const commandFaults: readonly Fault[] = [fullPipe, fullFolder];
