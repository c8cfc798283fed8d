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
    ['Go without build id', { segments: [{ type: PT_PHDR, align: 4096 }] }, { kind: 'static', runtime: 'go' }],
    [
      'wild, which puts section headers where Go does',
      { interpreter: GLIBC, notes: gnuNote, sectionHeadersBehindProgramHeaders: true },
      { kind: 'dynamic', go: false },
    ],
    ['a static program of wild', { notes: gnuNote, sectionHeadersBehindProgramHeaders: true }, { runtime: 'glibc' }],
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

const AMD64 = 62;
const ARM64 = 183;
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
/** What gcc, musl-gcc and Zig put at the entry point. */
const starts = {
  glibc: hex('31ed 4989d1 5e 4889e2 4883e4f0 50 54 4531c0 31c9 48c7c74518400067e8df1200'),
  musl: hex('4831ed 4889e7 488d35c8efbfff 4883e4f0 e80f0000 00662e0f1f840000000000'),
  bare: hex('31ed 4889e7 4883e4f0 e87a000000 554889e54156534883ec5064488b0425f8ff'),
  other: hex('31c0 e8 00000000 0000000000000000000000000000000000000000000000000000'),
};
const armMusl = hex('1d0080d2 1e0080d2 e0030091 617fffd0 21000091 1fec7c92 01000014 e20300aa');
/** Three functions of Go, each with its check of the stack. */
const goFunctions = Buffer.concat(Array.from({ length: 3 }, () => hex('493b6610 7620 55 4889e5 00000000000000')));
const armGoFunctions = Buffer.concat(Array.from({ length: 3 }, () => hex('900b40f9 ff6330eb e9000054')));

describe('code says who made a program', () => {
  const at = 4096;
  const code = (...parts: readonly Buffer[]) => ({ code: { at, bytes: Buffer.concat(parts) } });
  const relro = [{ type: PT_GNU_RELRO }];
  it.each<[string, ElfOptions, object]>([
    ["gcc's static", { notes: gnuNote, ...code(starts.glibc) }, { runtime: 'glibc', codeSeen: true }],
    ["gcc's static Go", { notes: gnuNote, ...code(starts.glibc, goFunctions) }, { runtime: 'go', libc: 'glibc' }],
    ["musl-gcc's static", { segments: relro, ...code(starts.musl) }, { runtime: 'unmarked', start: 'musl' }],
    ["musl-gcc's static Go", { segments: relro, ...code(starts.musl, goFunctions) }, { runtime: 'go', libc: 'musl' }],
    ["gcc's without a note", { segments: relro, ...code(starts.glibc) }, { runtime: 'unmarked', start: 'glibc' }],
    [
      "Zig's, which keeps the stack in a variable",
      { segments: relro, ...code(hex('31ed 488925d74a0200 4883e4f0 e80e000000')) },
      { start: 'bare' },
    ],
    [
      "Zig's for arm64",
      { machine: ARM64, ...code(hex('4801009008810491 1d0080d2 1e0080d2 e0030091 000100f9 02000014')) },
      { runtime: 'unmarked', start: 'bare' },
    ],
    ["Zig's without libc", { segments: relro, ...code(starts.bare) }, { runtime: 'unmarked', start: 'bare' }],
    ['another', { segments: relro, ...code(starts.other) }, { runtime: 'unmarked', start: 'unrecognised' }],
    ['arm64 musl', { machine: ARM64, ...code(armMusl) }, { runtime: 'unmarked', start: 'musl' }],
    ['arm64 Go', { machine: ARM64, notes: gnuNote, ...code(armGoFunctions) }, { runtime: 'go', libc: 'glibc' }],
    ['a machine whose code is not known', { machine: 243, ...code(starts.musl) }, { start: undefined }],
    ['dynamic Go', { interpreter: GLIBC, notes: gnuNote, ...code(starts.glibc, goFunctions) }, { go: true }],
    ["dynamic, another's code", { interpreter: GLIBC, notes: gnuNote, ...code(starts.glibc) }, { go: false }],
    [
      "Go's build settings",
      { notes: gnuNote, ...code(starts.glibc, hex('ff20476f206275696c64696e663a')) },
      { runtime: 'go' },
    ],
    ["Go's table of functions", { notes: gnuNote, ...code(starts.glibc, hex('f1ffffff00000108')) }, { runtime: 'go' }],
  ])('%s', (_name, options, expected) => {
    expect(inspectElf(elf({ machine: AMD64, ...options }), true)).toMatchObject(expected);
  });

  it('code out of reach is asked for, and read by itself', () => {
    const whole = elf({ machine: AMD64, notes: gnuNote, code: { at: 300_000, bytes: Buffer.alloc(20_000) } });
    starts.glibc.copy(whole, 300_000);
    goFunctions.copy(whole, 300_100);
    const prefix = whole.subarray(0, 4096);
    const apart = { offset: 300_000, length: 8192 };
    expect(inspectElf(prefix, false)).toMatchObject({ runtime: 'glibc', codeSeen: false, apart });
    const piece = { offset: apart.offset, bytes: whole.subarray(300_000, 308_192) };
    expect(inspectElf(prefix, false, piece)).toMatchObject({ runtime: 'go', libc: 'glibc' });
  });

  it('an interpreter behind everything else, where patchelf puts it, is asked for with the notes behind it', () => {
    const options = { machine: AMD64, interpreter: MUSL, interpreterAt: 300_000, notes: goNote, notesAt: 300_100 };
    const whole = elf({ ...options, code: { at: 2048, bytes: starts.musl } });
    const prefix = whole.subarray(0, 4096);
    const apart = { offset: 300_000, length: 132 };
    expect(inspectElf(prefix, false)).toMatchObject({ kind: 'undetermined', start: 'musl', apart });
    const piece = { offset: apart.offset, bytes: whole.subarray(300_000, 300_132) };
    expect(inspectElf(prefix, false, piece)).toMatchObject({ kind: 'dynamic', interpreter: MUSL, go: true });
    const cut = { offset: apart.offset, bytes: whole.subarray(300_000, 300_010) };
    expect(inspectElf(prefix, false, cut)).toMatchObject({ kind: 'undetermined', apart });
  });
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
  const unmarked = { kind: 'static', runtime: 'unmarked', pie: false, relro: false, start: undefined } as const;
  const relro = { ...unmarked, relro: true };
  it.each<[string, Parameters<typeof judgeStatic>[0], string, object]>([
    ["musl's message", unmarked, 'x\0No error information\0', { libc: 'musl', sure: true }],
    ['uClibc', relro, '/etc/config/resolv.conf\0', { libc: 'other' }],
    ['dietlibc', unmarked, '__you_tried_to_link_a_dietlibc_object_against_glibc\0', { libc: 'other' }],
    ["glibc's loader", relro, 'x\0GLIBC_PRIVATE\0', { libc: 'glibc' }],
    ['a RELRO segment alone', relro, 'x', { libc: 'musl', sure: false }],
    ["musl's start", { ...unmarked, start: 'musl' }, 'x', { libc: 'musl', sure: true }],
    ["glibc's start without its note", { ...relro, start: 'glibc' }, 'x', { libc: 'glibc', sure: false }],
    ["uClibc, which took glibc's start", { ...relro, start: 'glibc' }, '\0__uClibc_main\0', { libc: 'other' }],
    ["glibc's tunables", { ...relro, start: 'glibc' }, 'glibc.malloc.trim_threshold\0', { libc: 'glibc', sure: true }],
    ['a start without a C library', { ...relro, start: 'bare' }, 'x', { libc: 'none' }],
    ["a start that is not musl's", { ...relro, start: 'unrecognised' }, 'x', { libc: 'unknown' }],
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
