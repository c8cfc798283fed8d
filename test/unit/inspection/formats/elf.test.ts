import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { inspectElf } from '../../../../src/inspection/formats/elf.ts';
import { judgeStatic } from '../../../../src/inspection/formats/static-marks.ts';
import { elf, type ElfOptions, PT_GNU_RELRO, PT_PHDR } from '../../../support/elf-builder.ts';

const MUSL = '/lib/ld-musl-x86_64.so.1';
const GLIBC = '/lib64/ld-linux-x86-64.so.2';
const goNote = [{ owner: 'Go', type: 4 }];
const gnuNote = [{ owner: 'GNU', type: 1 }];

describe('an executable is told by its headers', () => {
  const rows: readonly [string, ElfOptions, object][] = [
    ['musl dynamic', { interpreter: MUSL }, { kind: 'dynamic', interpreter: MUSL, go: false, notesSeen: true }],
    ['glibc dynamic pie', { interpreter: GLIBC, type: 3, notes: gnuNote }, { kind: 'dynamic', go: false }],
    ['cgo by its note', { interpreter: GLIBC, notes: goNote }, { kind: 'dynamic', go: true }],
    [
      'cgo by its symbols',
      { interpreter: GLIBC, text: 'x\0_cgo_topofstack\0crosscall2\0' },
      { kind: 'dynamic', go: true },
    ],
    [
      'notes out of reach',
      { interpreter: GLIBC, notes: goNote, notesAt: 20_000 },
      { kind: 'dynamic', go: false, notesSeen: false },
    ],
    ['static Go', { notes: goNote }, { kind: 'static', runtime: 'go', libc: 'none' }],
    ['static cgo on glibc', { notes: [...goNote, ...gnuNote] }, { kind: 'static', runtime: 'go', libc: 'glibc' }],
    [
      'static cgo on another libc',
      { notes: goNote, segments: [{ type: PT_GNU_RELRO }] },
      { kind: 'static', runtime: 'go', libc: 'unknown' },
    ],
    ['Go without build id', { sectionHeadersBehindProgramHeaders: true }, { kind: 'static', runtime: 'go' }],
    ['Go stripped', { segments: [{ type: PT_PHDR, align: 4096 }] }, { kind: 'static', runtime: 'go' }],
    ['static glibc', { notes: gnuNote }, { kind: 'static', runtime: 'glibc' }],
    ['static-pie glibc', { notes: gnuNote, type: 3 }, { kind: 'static', runtime: 'glibc' }],
    ['static, unmarked', { segments: [{ type: PT_GNU_RELRO }] }, { kind: 'static', runtime: 'unmarked', relro: true }],
    ['Android', { notes: [{ owner: 'Android', type: 1 }] }, { kind: 'static', runtime: 'other' }],
    ['FreeBSD', { osAbi: 9 }, { kind: 'static', runtime: 'other' }],
    ['UPX', { text: 'UPX!' }, { kind: 'undetermined' }],
    ['a relative interpreter', { interpreter: 'ld.so' }, { kind: 'undetermined' }],
    ['an object file', { type: 1 }, { kind: 'library' }],
  ];
  const shapes = [
    { wide: true, bigEndian: false },
    { wide: true, bigEndian: true },
    { wide: false, bigEndian: false },
    { wide: false, bigEndian: true },
  ];
  for (const shape of shapes) {
    it.each(rows)(`%s (64 bit: ${shape.wide}, big endian: ${shape.bigEndian})`, (_name, options, expected) => {
      const bytes = elf({ ...options, ...shape }).subarray(0, 8192);
      expect(inspectElf(bytes, false)).toMatchObject(expected);
    });
  }
});

describe('what is out of reach is undetermined, never static', () => {
  it.each([
    ['the header', elf().subarray(0, 40), 64],
    ['the program headers', elf({ programHeadersAt: 9000 }).subarray(0, 4096), 9056],
    ['the notes', elf({ notes: gnuNote, notesAt: 20_000 }).subarray(0, 4096), 20_032],
    ['the first bytes', elf().subarray(0, 2), 4],
  ])('%s', (_name, bytes, needBytes) => {
    expect(inspectElf(bytes, false)).toMatchObject({ kind: 'undetermined', needBytes });
  });

  it('the interpreter', () => {
    const bytes = elf({ interpreter: MUSL, text: 'x'.repeat(5000) });
    expect(inspectElf(bytes.subarray(0, 4096), false)).toMatchObject({ kind: 'undetermined' });
    expect(inspectElf(bytes, false)).toMatchObject({ kind: 'dynamic', interpreter: MUSL });
  });

  it('a whole file that points behind its end is damaged, and no more of it can be asked for', () => {
    const finding = inspectElf(elf({ notes: gnuNote, notesAt: 20_000 }).subarray(0, 4096), true);
    expect(finding).toMatchObject({ kind: 'undetermined', why: expect.stringContaining('damaged') });
    expect(finding).not.toHaveProperty('needBytes');
  });

  it("finds a loader's name that stands where linkers put it when the program headers were moved", () => {
    const bytes = elf({ programHeadersAt: 9000, text: GLIBC });
    expect(inspectElf(bytes.subarray(0, 4096), false)).toMatchObject({ strayInterpreter: GLIBC });
  });
});

describe('real executables that npm installed', () => {
  const require = createRequire(import.meta.url);
  const first = (path: string, length: number): Buffer => readFileSync(path).subarray(0, length);

  it('node needs 8 KiB at most to be known as dynamic', () => {
    const finding = inspectElf(first(process.execPath, 8192), false);
    expect(finding).toMatchObject({ kind: 'dynamic', go: false });
  });

  it.skipIf(process.platform !== 'linux')('esbuild, a Go program without build id, needs 4 KiB', () => {
    const path = require.resolve(`@esbuild/linux-${process.arch}/bin/esbuild`);
    expect(inspectElf(first(path, 4096), false)).toMatchObject({ kind: 'static', runtime: 'go', libc: 'none' });
  });
});

describe('a static program without marks in its headers is judged by its texts', () => {
  const unmarked = { kind: 'static', runtime: 'unmarked', pie: false, relro: false } as const;
  const relro = { ...unmarked, relro: true };
  it.each([
    ["musl's message", unmarked, 'x\0No error information\0', { libc: 'musl', sure: true }],
    ['uClibc', relro, '/etc/config/resolv.conf\0', { libc: 'other' }],
    ['dietlibc', unmarked, '__you_tried_to_link_a_dietlibc_object_against_glibc\0', { libc: 'other' }],
    ["glibc's loader", relro, 'x\0GLIBC_PRIVATE\0', { libc: 'glibc' }],
    ['a RELRO segment alone', relro, 'x', { libc: 'musl', sure: false }],
    ['nothing', unmarked, 'x', { libc: 'unknown' }],
    ['the mere names of libraries', unmarked, 'musl uClibc dietlibc klibc glibc', { libc: 'unknown' }],
  ])('%s', (_name, finding, text, expected) => {
    expect(judgeStatic(finding, Buffer.from(text), false)).toMatchObject(expected);
  });

  it('too small a program has no resolver at all, if it is whole', () => {
    expect(judgeStatic(unmarked, Buffer.from('x'), true)).toMatchObject({ libc: 'other' });
    expect(judgeStatic(unmarked, Buffer.from('/etc/resolv.conf'), true)).toMatchObject({ libc: 'unknown' });
  });
});

describe('hostile bytes', () => {
  const kinds = ['dynamic', 'static', 'library', 'undetermined', 'not-elf'];

  it('any bytes give a finding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 512 }), fc.boolean(), (bytes, complete) => {
        expect(kinds).toContain(inspectElf(bytes, complete).kind);
      }),
    );
  });

  it('any damage to an executable, and any cut, gives a finding; what it needs lies behind what was held', () => {
    const base = elf({ interpreter: GLIBC, notes: [...goNote, ...gnuNote], size: 1024 });
    const damage = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 12 });
    fc.assert(
      fc.property(damage, fc.nat(base.length), (edits, length) => {
        const bytes = Buffer.from(base);
        for (const [at, value] of edits) bytes[at] = value;
        const finding = inspectElf(bytes.subarray(0, length), false);
        expect(kinds).toContain(finding.kind);
        if (finding.kind === 'undetermined' && finding.needBytes !== undefined) {
          expect(finding.needBytes).toBeGreaterThan(length);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('a prefix never says other than the whole file, or says that it does not know', () => {
    const whole = elf({ interpreter: MUSL, notes: gnuNote, text: 'x'.repeat(600) });
    const lengths = Array.from({ length: Math.floor(whole.length / 7) }, (_, index) => index * 7);
    const findings = lengths.map((length) => inspectElf(whole.subarray(0, length), false));
    expect(new Set(findings.map(({ kind }) => kind))).toEqual(new Set(['undetermined', 'dynamic']));
  });
});
