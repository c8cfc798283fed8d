/**
 * Reads the parts of an ELF file that say how it is linked: file header, program headers and notes (System V gABI,
 * chapters 4 and 5), from a prefix of the file. Reports what lies outside the prefix instead of assuming it.
 */

import { showsGo, startBytes, type StartCode, startCode } from './code-marks.ts';
import { type ElfLayout, hasElfMagic, type ProgramHeader, readElfLayout, segmentType } from './elf-layout.ts';
import { type GoSettings, goSettings } from './go-settings.ts';

/** What the first bytes of a file say about the resolver in it. */
export type ElfFinding =
  | {
      readonly kind: 'dynamic';
      /** PT_INTERP, unchanged. */
      readonly interpreter: string;
      /** Made by the Go linker, or linked with cgo: the program resolves names itself. */
      readonly go: boolean;
      /** False if some notes are out of reach: `go: false` is likely then, not certain. */
      readonly notesSeen: boolean;
      /** How a Go program was built. */
      readonly built?: GoBuild;
      readonly apart?: Range;
    }
  | {
      readonly kind: 'static';
      readonly runtime: 'go';
      readonly libc: 'none' | 'glibc' | 'musl' | 'unknown';
      readonly why: string;
      /** Absent if it has no libc. */
      readonly built?: GoBuild;
      readonly apart?: Range;
    }
  | {
      readonly kind: 'static';
      readonly runtime: 'glibc';
      readonly why: string;
      /** False if its code is out of reach, which may have been made by Go. */
      readonly codeSeen: boolean;
      readonly apart?: Range;
    }
  | { readonly kind: 'static'; readonly runtime: 'other'; readonly why: string }
  /** No interpreter and no mark of Go or glibc: see `judgeStatic`. */
  | {
      readonly kind: 'static';
      readonly runtime: 'unmarked';
      readonly pie: boolean;
      readonly relro: boolean;
      /** undefined if it is out of reach, or the architecture's code is not known. */
      readonly start: StartCode | undefined;
      readonly apart?: Range;
    }
  /** A shared library, which does not run by itself. */
  | { readonly kind: 'library' }
  | {
      readonly kind: 'undetermined';
      readonly why: string;
      /** Length of the prefix that would decide; absent if none would. */
      readonly needBytes?: number;
      /** Who wrote the start of a program whose interpreter is out of reach. */
      readonly start?: StartCode | undefined;
      readonly apart?: Range;
      /** A loader's path at the place where linkers put it, although no program header in reach points at it. */
      readonly strayInterpreter?: string;
    }
  | { readonly kind: 'not-elf' };

/** `none`: it holds no settings; `unseen`: the place where they are is out of reach. */
export type GoBuild = GoSettings | 'none' | 'unseen';

/** A part of the file, beyond the prefix, that would tell more. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A part of the file that was read by itself. */
export interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

// The kernel's own limit (fs/binfmt_elf.c: elf_ppnt->p_filesz > PATH_MAX).
const maxInterpreter = 4096;
// EI_OSABI: System V and GNU/Linux; programs with any other are for another system.
const linuxAbis = new Set([0, 3]);
const pageSize = 4096;
// What cgo exports to the dynamic linker (cmd/link/internal/ld/lib.go, -rdynamic and --export-dynamic-symbol).
const cgoSymbols = ['_cgo_topofstack', 'crosscall2'];

/**
 * Decides how an executable is linked, by the first bytes of its file, and by pieces of it that earlier findings asked for
 * (`apart`). `complete`: `prefix` is the whole file. Rules: docs/detection.md, "The executable". Pure.
 */
export function inspectElf(prefix: Uint8Array, complete: boolean, ...pieces: readonly Piece[]): ElfFinding {
  if (!hasElfMagic(prefix)) {
    return prefix.length < 4 && !complete
      ? { kind: 'undetermined', why: 'the file begins out of reach', needBytes: 4 }
      : { kind: 'not-elf' };
  }
  const layout = readElfLayout(prefix);
  if ('why' in layout) return outOfReach(layout.why, layout.needBytes, complete, strayInterpreter(prefix));
  if (layout.type !== 2 && layout.type !== 3) return { kind: 'library' };
  if (layout.entry === 0 && layout.type === 3) return { kind: 'library' };
  if (!linuxAbis.has(layout.osAbi)) {
    return { kind: 'static', runtime: 'other', why: `made for another system (OS ABI ${layout.osAbi})` };
  }
  if (isPacked(prefix, layout)) return { kind: 'undetermined', why: 'packed with UPX, which hides what is inside' };
  const interpreter = layout.programHeaders.find((segment) => segment.type === segmentType.interpreter);
  const held: Held = { prefix, complete, pieces };
  return interpreter === undefined ? inspectStatic(held, layout) : inspectDynamic(held, layout, interpreter);
}

/** What is held of a file. */
interface Held {
  readonly prefix: Uint8Array;
  /** `prefix` is the whole file. */
  readonly complete: boolean;
  readonly pieces: readonly Piece[];
}

/** Returns the bytes from `offset` to `end`; undefined if not all of them are held. */
function bytesOf({ prefix, pieces }: Held, offset: number, end: number): Uint8Array | undefined {
  const piece = [{ offset: 0, bytes: prefix }, ...pieces].find(
    (one) => offset >= one.offset && end <= one.offset + one.bytes.length,
  );
  return piece?.bytes.subarray(offset - piece.offset, end - piece.offset);
}

function inspectDynamic(held: Held, layout: ElfLayout, segment: ProgramHeader): ElfFinding {
  const end = segment.offset + segment.fileSize;
  if (segment.fileSize > maxInterpreter) return { kind: 'undetermined', why: 'the interpreter is not a path' };
  const bytes = bytesOf(held, segment.offset, end);
  if (bytes === undefined) {
    const { start } = codeOf(held, layout);
    return {
      ...outOfReach('the interpreter is out of reach', end, held.complete),
      ...(start !== undefined && { start }),
      ...(!held.complete && { apart: interpreterRange(layout, segment) }),
    };
  }
  const interpreter = untilNul(bytes);
  if (!interpreter.startsWith('/')) return { kind: 'undetermined', why: 'the interpreter is not an absolute path' };
  const notes = readElfNotes(held, layout);
  const go = notes.go || goMark(held, layout) !== undefined;
  const built = go ? goBuild(held, layout) : {};
  return { kind: 'dynamic', interpreter, go, notesSeen: go || notes.needBytes === 0, ...built };
}

// patchelf puts the interpreter at the end of the file, and the notes behind it.
const mostApart = 64 * 1024;

function interpreterRange({ programHeaders }: ElfLayout, segment: ProgramHeader): Range {
  const notes = programHeaders.filter(({ type, offset }) => type === segmentType.note && offset >= segment.offset);
  const ends = [segment, ...notes].map(({ offset, fileSize }) => offset + fileSize - segment.offset);
  return { offset: segment.offset, length: Math.max(...ends.filter((length) => length <= mostApart)) };
}

function inspectStatic(held: Held, layout: ElfLayout): ElfFinding {
  const notes = readElfNotes(held, layout);
  const { start, apart } = codeOf(held, layout);
  const go = notes.go ? 'Go build id' : goMark(held, layout);
  if (go !== undefined) {
    const libc = libcUnderGo(layout, notes, start);
    return { kind: 'static', runtime: 'go', libc, why: go, ...(libc !== 'none' && goBuild(held, layout)) };
  }
  if (notes.foreign !== undefined) return { kind: 'static', runtime: 'other', why: `note of ${notes.foreign}` };
  const wanted = apart === undefined ? {} : { apart };
  const codeSeen = apart === undefined;
  if (notes.gnuAbi) return { kind: 'static', runtime: 'glibc', why: 'GNU ABI note', codeSeen, ...wanted };
  if (notes.needBytes > 0) return outOfReach('the notes are out of reach', notes.needBytes, held.complete);
  if (layout.programHeaders.length === 0) return { kind: 'undetermined', why: 'the file has no program headers' };
  return {
    kind: 'static',
    runtime: 'unmarked',
    pie: layout.type === 3,
    relro: hasSegment(layout, segmentType.gnuRelro),
    start,
    ...wanted,
  };
}

// The system's linker linked a static cgo program, and left a segment for thread-local storage.
function libcUnderGo(
  layout: ElfLayout,
  notes: ElfNotes,
  start: StartCode | undefined,
): 'none' | 'glibc' | 'musl' | 'unknown' {
  if (notes.gnuAbi) return 'glibc';
  if (hasGoLayout(layout)) return 'none';
  if (start === 'glibc' || start === 'musl') return start;
  return hasSegment(layout, segmentType.tls) || hasSegment(layout, segmentType.gnuRelro) ? 'unknown' : 'none';
}

// Of the programs measured, buildah has them furthest on: 108 KB into its data.
const mostData = 2 * 1024 * 1024;

/**
 * Returns how a Go program was built, or where it says so: in the data that stays writable (debug/buildinfo; what linkers
 * write for `.go.buildinfo`). That is the largest writable segment, behind what PT_GNU_RELRO covers of it.
 */
function goBuild(held: Held, { programHeaders }: ElfLayout): { readonly built: GoBuild; readonly apart?: Range } {
  const found = [held.prefix, ...held.pieces.map(({ bytes }) => bytes)].map(goSettings);
  const settings = found.find((one) => one !== undefined);
  if (settings !== undefined) return { built: settings };
  const relro = programHeaders.find(({ type }) => type === segmentType.gnuRelro);
  const sealed = relro === undefined ? 0 : relro.offset + relro.fileSize;
  const [data] = programHeaders
    .filter(({ type, isWritable }) => type === segmentType.load && isWritable)
    .map(({ offset, fileSize }) => ({ offset: Math.max(offset, sealed), end: offset + fileSize }))
    .toSorted((one, other) => other.end - other.offset - (one.end - one.offset));
  if (data === undefined || data.end <= data.offset || held.complete) return { built: 'none' };
  const length = Math.min(data.end - data.offset, mostData);
  if (bytesOf(held, data.offset, data.offset + length) !== undefined) return { built: 'none' };
  return { built: 'unseen', apart: { offset: data.offset, length } };
}

/** Says by what a program is known to be Go's, apart from its note; undefined if by nothing in reach. */
function goMark({ prefix, pieces }: Held, layout: ElfLayout): string | undefined {
  if (hasGoLayout(layout)) return "the Go linker's file layout";
  if (hasCgoSymbols(prefix)) return "cgo's symbols";
  const isGo = [prefix, ...pieces.map(({ bytes }) => bytes)].some((bytes) => showsGo(layout.machine, bytes));
  return isGo ? "the Go compiler's code" : undefined;
}

/**
 * Reports whether the Go linker wrote the file: it aligns PT_PHDR to its page size, others to the word size
 * (cmd/link/internal/ld/elf.go). `strip` leaves that. That the section headers are right after the program headers proves
 * nothing: the linker wild puts them there too.
 */
function hasGoLayout(layout: ElfLayout): boolean {
  return layout.programHeaders.some(
    (segment) => segment.type === segmentType.programHeaders && segment.align >= pageSize,
  );
}

// Go's first functions follow within this distance of the entry point in what gcc and gold link: measured 0x150 bytes.
const codeReach = 8 * 1024;

/** Returns who wrote a program's first instructions, and where its first functions are, if they are not held. */
function codeOf(
  held: Held,
  { machine, entry, programHeaders }: ElfLayout,
): { readonly start: StartCode | undefined; readonly apart?: Range } {
  const segment = programHeaders.find(
    ({ type, address, fileSize }) => type === segmentType.load && entry >= address && entry < address + fileSize,
  );
  if (segment === undefined) return { start: undefined };
  const offset = segment.offset + entry - segment.address;
  const end = Math.min(offset + codeReach, segment.offset + segment.fileSize);
  const first = bytesOf(held, offset, Math.min(offset + startBytes, end));
  const start = first === undefined ? undefined : startCode(machine, first);
  const isSeen = held.complete || bytesOf(held, offset, end) !== undefined;
  return { start, ...(!isSeen && { apart: { offset, length: end - offset } }) };
}

function hasCgoSymbols(prefix: Uint8Array): boolean {
  const bytes = Buffer.from(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  return cgoSymbols.every((symbol) => bytes.includes(`\0${symbol}\0`, 0, 'latin1'));
}

// UPX's l_info follows the program headers (upx/src/stub/src/include/linux.h).
function isPacked(prefix: Uint8Array, layout: ElfLayout): boolean {
  const from = layout.programHeadersEnd;
  return Buffer.from(prefix.subarray(from, from + 256)).includes('UPX!', 0, 'latin1');
}

/**
 * Finds a loader's path where linkers put it. Tools that add a segment (postject, patchelf, LIEF) move the program
 * headers to the end of the file and leave the path behind.
 */
function strayInterpreter(prefix: Uint8Array): string | undefined {
  const text = Buffer.from(prefix.subarray(0, pageSize)).toString('latin1');
  return /\0(?<path>\/(?:usr\/)?lib(?:64|32|x32)?\/ld(?:-musl-|-linux|64)[\w.-]{1,40})\0/u.exec(text)?.groups?.['path'];
}

function hasSegment(layout: ElfLayout, type: number): boolean {
  return layout.programHeaders.some((segment) => segment.type === type);
}

function outOfReach(why: string, needBytes: number | undefined, complete: boolean, stray?: string): ElfFinding {
  return {
    kind: 'undetermined',
    why: complete ? 'the file is damaged: it points behind its own end' : why,
    ...(needBytes !== undefined && !complete && { needBytes }),
    ...(stray !== undefined && { strayInterpreter: stray }),
  };
}

/** What an executable's notes say about its linker and C library. */
interface ElfNotes {
  /** (`Go`, 4): the Go linker's build id (cmd/link/internal/ld/elf.go). */
  readonly go: boolean;
  /** (`GNU`, 1): glibc's start files put it into every program (Linux Standard Base, .note.ABI-tag); musl's do not. */
  readonly gnuAbi: boolean;
  /** Owner of another system's note: Android, FreeBSD, NetBSD, OpenBSD. */
  readonly foreign: string | undefined;
  /** Length of the prefix that holds every note; 0 if all were seen. */
  readonly needBytes: number;
}

const maxNotes = 64;
const foreignOwners = new Set(['Android', 'FreeBSD', 'NetBSD', 'OpenBSD', 'Xen']);

/** Reads all PT_NOTE segments in what is held (gABI chapter 5, "Note Section"). */
function readElfNotes(held: Held, layout: ElfLayout): ElfNotes {
  const found = { go: false, gnuAbi: false, foreign: undefined as string | undefined, needBytes: 0 };
  let budget = maxNotes;
  for (const segment of layout.programHeaders) {
    if (segment.type !== segmentType.note) continue;
    const end = segment.offset + segment.fileSize;
    const whole = bytesOf(held, segment.offset, end);
    if (whole === undefined) found.needBytes = Math.max(found.needBytes, end);
    const bytes = whole ?? held.prefix.subarray(segment.offset);
    for (const note of walkNotes(bytes, segment.align, layout.littleEndian)) {
      if (--budget < 0) return found;
      if (note.owner === 'Go' && note.type === 4) found.go = true;
      if (note.owner === 'GNU' && note.type === 1) found.gnuAbi = true;
      if (foreignOwners.has(note.owner)) found.foreign = note.owner;
    }
  }
  return found;
}

interface Note {
  readonly owner: string;
  readonly type: number;
}

function* walkNotes(bytes: Uint8Array, segmentAlign: number, littleEndian: boolean): Generator<Note> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const align = segmentAlign === 8 ? 8 : 4;
  let at = 0;
  while (at + 12 <= bytes.length) {
    const nameSize = view.getUint32(at, littleEndian);
    const descriptionSize = view.getUint32(at + 4, littleEndian);
    const nameEnd = at + 12 + nameSize;
    if (nameEnd > bytes.length) return;
    // Every owner that counts here is short.
    const name = bytes.subarray(at + 12, Math.min(nameEnd, at + 12 + 16));
    yield { owner: untilNul(name), type: view.getUint32(at + 8, littleEndian) };
    at = alignTo(alignTo(nameEnd, align) + descriptionSize, align);
  }
}

function alignTo(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

function untilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  // A text of its own: a part of a longer one would keep that in memory.
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString('latin1');
}
