/**
 * The parts of an ELF file that say how it is linked: file header and program headers (System V gABI, chapters 4 and 5).
 * Everything is read from a prefix of the file; what lies outside it is reported, never assumed.
 */

export interface ProgramHeader {
  readonly type: number;
  readonly offset: number;
  readonly fileSize: number;
  readonly align: number;
}

export interface ElfLayout {
  readonly littleEndian: boolean;
  readonly osAbi: number;
  /** `e_type`: 2 is an executable, 3 a shared object or a position-independent executable. */
  readonly type: number;
  readonly entry: number;
  readonly programHeaders: readonly ProgramHeader[];
  readonly programHeadersEnd: number;
  readonly sectionHeadersOffset: number;
}

/** `needBytes`: how much of the file, from its start, would have to be held. Absent where no prefix would help. */
export interface LayoutProblem {
  readonly why: string;
  readonly needBytes?: number;
}

export const segmentType = {
  dynamic: 2,
  interpreter: 3,
  note: 4,
  programHeaders: 6,
  tls: 7,
  gnuEhFrame: 0x6474_e550,
  gnuRelro: 0x6474_e552,
} as const;

// Linkers write about a dozen; the kernel refuses tables over 64 KiB (fs/binfmt_elf.c, load_elf_phdrs).
const maxProgramHeaders = 128;

/** Whether the bytes begin like an ELF file. */
export function hasElfMagic(prefix: Uint8Array): boolean {
  return prefix[0] === 0x7f && prefix[1] === 0x45 && prefix[2] === 0x4c && prefix[3] === 0x46;
}

// Where the fields of the file header stand (gABI chapter 4, Elf32_Ehdr and Elf64_Ehdr).
const wideHeader = { size: 64, programHeaders: 32, sectionHeaders: 40, entrySize: 54, programHeaderSize: 56 };
const narrowHeader = { size: 52, programHeaders: 28, sectionHeaders: 32, entrySize: 42, programHeaderSize: 32 };

/** Reads header and program headers of a file that has the ELF magic. */
export function readElfLayout(prefix: Uint8Array): ElfLayout | LayoutProblem {
  const wide = prefix[4] === 2;
  const littleEndian = prefix[5] === 1;
  const fields = wide ? wideHeader : narrowHeader;
  if (prefix.length < fields.size) return { why: 'the ELF header is cut short', needBytes: fields.size };
  if ((!wide && prefix[4] !== 1) || (!littleEndian && prefix[5] !== 2)) return { why: 'the ELF class is not known' };

  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const word = (offset: number): number =>
    wide ? readUint64(view, offset, littleEndian) : view.getUint32(offset, littleEndian);
  const entrySize = view.getUint16(fields.entrySize, littleEndian);
  const count = view.getUint16(fields.entrySize + 2, littleEndian);
  const tableOffset = word(fields.programHeaders);
  const programHeadersEnd = tableOffset + entrySize * count;
  const problem = checkTable(count, entrySize < fields.programHeaderSize, programHeadersEnd, prefix.length);
  if (problem !== undefined) return problem;

  const read = wide ? readWideProgramHeader : readNarrowProgramHeader;
  return {
    littleEndian,
    osAbi: prefix[7] ?? 0,
    type: view.getUint16(16, littleEndian),
    entry: word(24),
    programHeaders: Array.from({ length: count }, (_, index) =>
      read(view, tableOffset + index * entrySize, littleEndian),
    ),
    programHeadersEnd,
    sectionHeadersOffset: word(fields.sectionHeaders),
  };
}

function checkTable(count: number, tooSmall: boolean, end: number, held: number): LayoutProblem | undefined {
  if (count === 0) return undefined;
  if (count > maxProgramHeaders) return { why: `the file claims ${count} program headers` };
  if (tooSmall) return { why: 'the program headers have an unknown size' };
  return end > held ? { why: 'the program headers are out of reach', needBytes: end } : undefined;
}

function readWideProgramHeader(view: DataView, at: number, littleEndian: boolean): ProgramHeader {
  return {
    type: view.getUint32(at, littleEndian),
    offset: readUint64(view, at + 8, littleEndian),
    fileSize: readUint64(view, at + 32, littleEndian),
    align: readUint64(view, at + 48, littleEndian),
  };
}

function readNarrowProgramHeader(view: DataView, at: number, littleEndian: boolean): ProgramHeader {
  return {
    type: view.getUint32(at, littleEndian),
    offset: view.getUint32(at + 4, littleEndian),
    fileSize: view.getUint32(at + 16, littleEndian),
    align: view.getUint32(at + 28, littleEndian),
  };
}

// Values above 2^53 lose precision, which does not matter: they are out of every file's reach all the same.
function readUint64(view: DataView, at: number, littleEndian: boolean): number {
  return Number(view.getBigUint64(at, littleEndian));
}
