import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const BIN = fileURLToPath(new URL('../../../bin', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'libc-dns-entry-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the entry of a package that wants this version of Node. */
function start(wanted: string) {
  cpSync(BIN, join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'dist'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', engines: { node: `>=${wanted}` } }));
  writeFileSync(join(folder, 'dist/main.js'), 'console.log("loaded")');
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'bin/libc-dns.cjs')], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

describe('the command of the npm package', () => {
  it.each([`${major}.${minor}`, `${major - 1}.99`, '9.99'])('runs where Node %s is wanted', (wanted) => {
    expect(start(wanted)).toEqual({ status: 0, stdout: 'loaded\n', stderr: '' });
  });

  it.each([`${major}.${minor + 1}`, `${major + 1}.0`, '100.0'])('says in a line that Node %s is wanted', (wanted) => {
    expect(start(wanted)).toEqual({
      status: 1,
      stdout: '',
      stderr: `libc-dns: needs Node ${wanted} or later, and this is ${process.version} (${process.execPath})\n`,
    });
  });
});
