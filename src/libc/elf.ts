import { hasElfMagic, readElfLayout, segmentType, type ElfLayout, type ProgramHeader } from './elf-layout.ts';
import { readElfNotes, type ElfNotes } from './elf-notes.ts';

/** What the first bytes of a file say about the resolver in it. */
export type ElfFinding =
  | {
      readonly kind: 'dynamic';
      /** PT_INTERP as it stands in the file. */
      readonly interpreter: string;
      /** Made by the Go linker, or linked with cgo: it resolves names itself. */
      readonly go: boolean;
      /** False when some notes are out of reach, so that `go: false` is likely but not certain. */
      readonly notesSeen: boolean;
    }
  | {
      readonly kind: 'static';
      readonly runtime: 'go';
      readonly libc: 'none' | 'glibc' | 'unknown';
      readonly why: string;
    }
  | { readonly kind: 'static'; readonly runtime: 'glibc' | 'other'; readonly why: string }
  /** No interpreter and no mark of Go or glibc: see `judgeStatic`. */
  | { readonly kind: 'static'; readonly runtime: 'unmarked'; readonly pie: boolean; readonly relro: boolean }
  /** A shared library: it runs in nobody's name. */
  | { readonly kind: 'library' }
  | {
      readonly kind: 'undetermined';
      readonly why: string;
      /** Bytes of the file, from its start, that would decide. Absent where no prefix would. */
      readonly needBytes?: number;
      /** A loader's path that stands where linkers put it, although no program header in reach points at it. */
      readonly strayInterpreter?: string;
    }
  | { readonly kind: 'not-elf' };

// The kernel's own limit (fs/binfmt_elf.c: elf_ppnt->p_filesz > PATH_MAX).
const maxInterpreter = 4096;
// EI_OSABI: System V and GNU/Linux; everything else is another system's program.
const linuxAbis = new Set([0, 3]);
const pageSize = 4096;
// What cgo exports to the dynamic linker (cmd/link/internal/ld/lib.go, -rdynamic and --export-dynamic-symbol).
const cgoSymbols = ['_cgo_topofstack', 'crosscall2'];

/**
 * Decides how an executable is linked from the first bytes of its file; pure and bounded by `prefix`. Rules:
 * docs/detection.md, "The executable". `complete`: `prefix` is the whole file.
 */
export function inspectElf(prefix: Uint8Array, complete: boolean): ElfFinding {
  if (!hasElfMagic(prefix)) {
    return prefix.length < 4 && !complete
      ? { kind: 'undetermined', why: 'the file begins out of reach', needBytes: 4 }
      : { kind: 'not-elf' };
  }
  const layout = readElfLayout(prefix);
  if ('why' in layout) return reachable(layout.why, layout.needBytes, complete, strayInterpreter(prefix));
  if (layout.type !== 2 && layout.type !== 3) return { kind: 'library' };
  if (layout.entry === 0 && layout.type === 3) return { kind: 'library' };
  if (!linuxAbis.has(layout.osAbi)) {
    return { kind: 'static', runtime: 'other', why: `made for another system (OS ABI ${layout.osAbi})` };
  }
  if (isPacked(prefix, layout)) return { kind: 'undetermined', why: 'packed with UPX, which hides what is inside' };
  const interpreter = layout.programHeaders.find((segment) => segment.type === segmentType.interpreter);
  return interpreter === undefined
    ? inspectStatic(prefix, layout, complete)
    : inspectDynamic(prefix, layout, interpreter, complete);
}

function inspectDynamic(prefix: Uint8Array, layout: ElfLayout, segment: ProgramHeader, complete: boolean): ElfFinding {
  const end = segment.offset + segment.fileSize;
  if (segment.fileSize > maxInterpreter) return { kind: 'undetermined', why: 'the interpreter is not a path' };
  if (end > prefix.length) return reachable('the interpreter is out of reach', end, complete);
  const text = Buffer.from(prefix.subarray(segment.offset, end)).toString('latin1');
  const interpreter = text.split('\0', 1)[0] ?? '';
  if (!interpreter.startsWith('/')) return { kind: 'undetermined', why: 'the interpreter is not an absolute path' };
  const notes = readElfNotes(prefix, layout);
  const go = notes.go || hasGoLayout(layout) || hasCgoSymbols(prefix);
  return { kind: 'dynamic', interpreter, go, notesSeen: go || notes.needBytes === 0 };
}

function inspectStatic(prefix: Uint8Array, layout: ElfLayout, complete: boolean): ElfFinding {
  const notes = readElfNotes(prefix, layout);
  if (notes.go) return { kind: 'static', runtime: 'go', libc: libcUnderGo(layout, notes), why: 'Go build id' };
  if (hasGoLayout(layout)) return { kind: 'static', runtime: 'go', libc: 'none', why: "the Go linker's file layout" };
  if (notes.foreign !== undefined) return { kind: 'static', runtime: 'other', why: `note of ${notes.foreign}` };
  if (notes.gnuAbi) return { kind: 'static', runtime: 'glibc', why: 'GNU ABI note' };
  if (notes.needBytes > 0) return reachable('the notes are out of reach', notes.needBytes, complete);
  if (layout.programHeaders.length === 0) return { kind: 'undetermined', why: 'the file has no program headers' };
  return {
    kind: 'static',
    runtime: 'unmarked',
    pie: layout.type === 3,
    relro: hasSegment(layout, segmentType.gnuRelro),
  };
}

// A static cgo program was linked by the system's linker, which leaves thread-local storage behind.
function libcUnderGo(layout: ElfLayout, notes: ElfNotes): 'none' | 'glibc' | 'unknown' {
  if (notes.gnuAbi) return 'glibc';
  return hasSegment(layout, segmentType.tls) || hasSegment(layout, segmentType.gnuRelro) ? 'unknown' : 'none';
}

/**
 * The Go linker writes the section headers right behind the program headers, where others put them at the end, and
 * aligns PT_PHDR to its page size, where others use the word size (cmd/link/internal/ld/elf.go). The second survives `strip`.
 */
function hasGoLayout(layout: ElfLayout): boolean {
  if (layout.programHeaders.length === 0) return false;
  if (layout.sectionHeadersOffset === layout.programHeadersEnd) return true;
  return layout.programHeaders.some(
    (segment) => segment.type === segmentType.programHeaders && segment.align >= pageSize,
  );
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
 * Tools that add a segment (postject, patchelf, LIEF) move the program headers to the end of the file and leave the
 * interpreter's name where the linker put it.
 */
function strayInterpreter(prefix: Uint8Array): string | undefined {
  const text = Buffer.from(prefix.subarray(0, pageSize)).toString('latin1');
  return /\0(?<path>\/(?:usr\/)?lib(?:64|32|x32)?\/ld(?:-musl-|-linux|64)[\w.-]{1,40})\0/u.exec(text)?.groups?.['path'];
}

function hasSegment(layout: ElfLayout, type: number): boolean {
  return layout.programHeaders.some((segment) => segment.type === type);
}

function reachable(why: string, needBytes: number | undefined, complete: boolean, stray?: string): ElfFinding {
  return {
    kind: 'undetermined',
    why: complete ? 'the file is damaged: it points behind its own end' : why,
    ...(needBytes !== undefined && !complete && { needBytes }),
    ...(stray !== undefined && { strayInterpreter: stray }),
  };
}
