import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { goSettings, netdnsOf } from '../../../../src/inspection/formats/go-settings.ts';
import { readContent, searchMarks } from '../../../../src/inspection/formats/file-content.ts';
import { byteCursor, fileBytes } from '../../../../src/inspection/formats/tar.ts';

const magic = Buffer.from('\u00FF Go buildinf:', 'latin1');

function counted(content: string): Buffer {
  const bytes = Buffer.from(content, 'latin1');
  const { length } = bytes;
  return Buffer.concat([Buffer.from(length < 128 ? [length] : [(length & 127) | 128, length >> 7]), bytes]);
}

/** What the linker writes for `.go.buildinfo` (cmd/link/internal/ld/data.go, buildinfo). */
function buildInfo(settings: readonly string[], flags = 2): Buffer {
  const lines = ['path\tcommand-line-arguments', ...settings.map((one) => `build\t${one}`)];
  return Buffer.concat([
    magic,
    Buffer.from([8, flags]),
    Buffer.alloc(16),
    counted('go1.26.8'),
    counted(`0w\u00AF\f\u0092t\b\u0002${lines.join('\n')}\n\u00F92C1\u0086\u0018 r\u0000`),
  ]);
}

const plain = { cgo: true, netcgo: false, netdns: undefined };

describe('settings of the go command', () => {
  it.each([
    [[], plain],
    [['CGO_ENABLED=1', '-tags=osusergo'], plain],
    [['CGO_ENABLED=0'], { ...plain, cgo: false }],
    [['-tags=netgo,osusergo'], { ...plain, cgo: false }],
    [['-tags=ctrd,netcgo'], { ...plain, netcgo: true }],
    [['-ldflags="-X main.tags=netcgo"'], plain],
    [['DefaultGODEBUG=multipathtcp=0,netdns=cgo,panicnil=1'], { ...plain, netdns: 'cgo' }],
    [['DefaultGODEBUG=netedns0=0'], plain],
  ])('%j', (settings, expected) => {
    const bytes = Buffer.concat([Buffer.alloc(48), buildInfo(settings), Buffer.alloc(10)]);
    expect(goSettings(bytes)).toEqual(expected);
  });

  it('a program that looks for them in others holds the magic, too', () => {
    const bytes = Buffer.concat([magic, Buffer.alloc(50), buildInfo(['-tags=netcgo'])]);
    expect(goSettings(bytes)).toMatchObject({ netcgo: true });
  });

  it('what is cut short, older than Go 1.18 or not there tells nothing', () => {
    const whole = buildInfo(['-tags=netcgo']);
    for (let length = 0; length < whole.length; length += 1)
      expect(goSettings(whole.subarray(0, length))).toBe(undefined);
    expect(goSettings(buildInfo(['-tags=netcgo'], 0))).toBe(undefined);
    expect(goSettings(Buffer.concat([magic, Buffer.from([8, 2]), Buffer.alloc(16), Buffer.alloc(40, 0xff)]))).toBe(
      undefined,
    );
  });

  it.each([
    ['netdns=cgo', 'cgo'],
    ['netdns=1+go#2', 'go'],
    ['netdns=2', undefined],
    ['', undefined],
  ])('GODEBUG=%s: %s', (godebug, mode) => {
    expect(netdnsOf(godebug)).toBe(mode);
  });
});

const source = `package main

// static int one(void) { return 1; }
import "C"
import "net"

func main() { println(C.one()); net.LookupHost("localhost") }
`;

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += 65_536) yield Promise.resolve(bytes.subarray(at, at + 65_536));
}

const go = ['/usr/local/go/bin/go', '/usr/bin/go'].find((path) => existsSync(path));
const canBuild = go !== undefined && existsSync('/usr/bin/gcc');
if (!canBuild) console.warn('SKIPPED: build settings of real programs need Go and gcc');

describe.skipIf(!canBuild)('real programs', () => {
  const folder = mkdtempSync(join(tmpdir(), 'go-settings-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['the tag netcgo', ['-tags=netcgo'], source, { netcgo: true }],
    ['a line go:debug', [], `//go:debug netdns=cgo\n${source}`, { netdns: 'cgo' }],
    ['neither', ['-buildmode=pie'], source, { cgo: true, netcgo: false }],
  ])(
    '%s is found in the data, and only there',
    async (_name, flags, code, built) => {
      const file = join(folder, 'main.go');
      writeFileSync(file, code);
      const env = { ...process.env, GOFLAGS: '', GO111MODULE: 'off', GOTOOLCHAIN: 'local', CGO_ENABLED: '1' };
      execFileSync(go ?? '', ['build', ...flags, '-o', join(folder, 'program'), file], { cwd: folder, env });
      const program = readFileSync(join(folder, 'program'));
      const look = async (bytes: Buffer, mayReadOn: boolean) => {
        const stored = fileBytes(byteCursor(chunksOf(bytes)), program.length);
        return searchMarks(await readContent(stored, program.length), stored, program.length, () => mayReadOn);
      };
      expect(await look(program, true)).toMatchObject({ finding: { go: true, built } });
      expect(await look(program, false)).toMatchObject({ finding: { go: true, built: 'unseen' } });
      expect(await look(program.subarray(0, 300_000), true)).toMatchObject({ finding: { go: true, built: 'unseen' } });
    },
    120_000,
  );
});
