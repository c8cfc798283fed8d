import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { readTextFile, readTextStream } from '../../../src/terminal/input.ts';
import { cli } from '../../support/cli.ts';

const POD = 'kind: Pod\napiVersion: v1\nmetadata: {name: web}\nspec: {containers: [{name: main, image: a}]}\n';
const MIB = 1024 * 1024;

let folder: string;
const at = (name: string): string => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-input-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const inject = async (...files: string[]) =>
  await cli(['inject', '--offline', ...files.flatMap((file) => ['-f', file])], { stdin: POD });

const put = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content);
  return at(name);
};

/** A sparse file. */
function sized(name: string, bytes: number): string {
  const path = put(name, '');
  truncateSync(path, bytes);
  return path;
}

function pipe(name: string): string {
  execFileSync('mkfifo', [at(name)]);
  return at(name);
}

async function socket(name: string): Promise<() => void> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(at(name), resolve);
  });
  return () => server.close();
}

describe('a file that is no manifest is refused with one line that names it', () => {
  it.each([
    ['a device', () => '/dev/zero', 'is a device'],
    ['bytes that are not UTF-8', () => put('a.yaml', Buffer.from([0x61, 0x62, 0xff, 0x63])), 'is not UTF-8 (byte 3)'],
    ['half a character at the end', () => put('a.yaml', Buffer.from([0x61, 0xe2, 0x82])), 'is not UTF-8 (byte 2)'],
    ['a surrogate', () => put('a.yaml', Buffer.from([0xed, 0xa0, 0x80])), 'is not UTF-8 (byte 1)'],
    ['latin-1', () => put('a.yaml', Buffer.from('name: Zoë\n', 'latin1')), 'is not UTF-8 (byte 9)'],
    [
      'UTF-16, little end first',
      () => put('a.yaml', Buffer.from(`\uFEFF${POD}`, 'utf16le')),
      'is UTF-16, not UTF-8: convert it (iconv -f UTF-16 -t UTF-8)',
    ],
    [
      'UTF-16, big end first',
      () => put('a.yaml', Buffer.from(`\uFEFF${POD}`, 'utf16le').swap16()),
      'is UTF-16, not UTF-8',
    ],
    ['more than 64 MiB', () => sized('a.yaml', 64 * MIB + 1), 'is larger than 64 MiB'],
    ['a file that is not there', () => at('a.yaml'), 'no such file'],
  ])('%s', async (_, file, why) => {
    const path = file();
    const { code, out, err } = await inject(path);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^[^\n]*\n$/);
    expect(err.startsWith(`libc-dns: ${path}: ${why}`)).toBe(true);
  });

  it('a socket', async () => {
    const close = await socket('a.yaml');
    expect(await inject(at('a.yaml'))).toMatchObject({ code: 1, err: `libc-dns: ${at('a.yaml')}: is a socket\n` });
    close();
  });

  it.each([
    ['a pipe that nobody writes to', (name: string) => void pipe(name), 'is a pipe: name it with -f to read it'],
    ['a link to a device', (name: string) => symlinkSync('/dev/zero', at(name)), 'is a device'],
    [
      'a link to a pipe',
      (name: string) => symlinkSync(pipe('elsewhere'), at(name)),
      'is a pipe: name it with -f to read it',
    ],
    ['a folder', (name: string) => mkdirSync(at(name)), 'is a folder'],
    ['a file of no use', (name: string) => void put(name, Buffer.from([0xff])), 'is not UTF-8 (byte 1)'],
  ])('in a folder: %s', async (_, make, why) => {
    put('a.yaml', POD);
    make('b.yaml');
    for (const command of ['inject', 'explain', 'audit']) {
      const result = await cli([command, '--offline', '-f', folder]);
      expect(result).toMatchObject({ code: 1, err: `libc-dns: ${at('b.yaml')}: ${why}\n` });
    }
  });

  it('standard input', async () => {
    const stdin = Buffer.from([0x80]);
    expect(await cli(['explain', '--offline'], { stdin })).toMatchObject({
      code: 1,
      err: 'libc-dns: standard input: is not UTF-8 (byte 1)\n',
    });
  });

  it('an endless stream is left after 64 MiB', async () => {
    let given = 0;
    function* endless(): Generator<Buffer> {
      for (;;) {
        given += MIB;
        yield Buffer.alloc(MIB, 0x61);
      }
    }
    await expect(readTextStream(Readable.from(endless()))).rejects.toThrow('is larger than 64 MiB');
    expect(given).toBeLessThan(128 * MIB);
  });

  it('the configuration is read under the same rules', async () => {
    const path = put('config.yaml', Buffer.from([0xff]));
    expect(await cli(['config', path])).toMatchObject({
      code: 2,
      err: `libc-dns: configuration file ${path}: is not UTF-8 (byte 1)\n`,
    });
  });
});

describe('what kubectl reads is read', () => {
  it('a file of 64 MiB', async () => {
    expect(await readTextFile(sized('a.yaml', 64 * MIB))).toHaveLength(64 * MIB);
  });

  it('a UTF-8 byte order mark, which stays', async () => {
    const { code, out } = await inject(put('a.yaml', `\uFEFF${POD}`));
    expect({ code, first: out.codePointAt(0) }).toEqual({ code: 0, first: 0xfeff });
  });

  it('every character, as it is', async () => {
    const text = 'a: "\u0000\u007F\u0085\u202E\uFFFD\u{1F980}"\r\n';
    expect(await readTextFile(put('a.yaml', text))).toBe(text);
  });

  it.each(['-', '/dev/stdin'])('standard input as %s', async (name) => {
    expect(await inject(name)).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^libc-dns: no cluster is read .*\n$/) as string,
      out: expect.stringContaining('image: a') as string,
    });
  });

  it('a pipe that is named, though its writer is late', async () => {
    const path = pipe('named.yaml');
    const writer = spawn('sh', ['-c', 'sleep 0.3; cat > "$1"', 'sh', path], { stdio: ['pipe', 'ignore', 'ignore'] });
    writer.stdin.end(POD);
    expect(await readTextFile(path)).toBe(POD);
  });

  it('a process substitution', async () => {
    const main = new URL('../../../src/main.ts', import.meta.url).pathname;
    const command = `'${process.execPath}' '${main}' inject --offline -f <(cat '${put('a.yaml', POD)}')`;
    const out = execFileSync('bash', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    expect(out).toContain('image: a');
  });
});
