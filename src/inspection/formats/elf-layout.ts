/** Reads the file header and the program headers of an ELF file (System V gABI, chapters 4 and 5). */

export interface ProgramHeader {
  readonly type: number;
  readonly isWritable: boolean;
  readonly offset: number;
  /** Where the segment is in memory. */
  readonly address: number;
  readonly fileSize: number;
  readonly align: number;
}

export interface ElfLayout {
  readonly littleEndian: boolean;
  readonly osAbi: number;
  /** `e_machine`. */
  readonly machine: number;
  /** `e_type`: 2 is an executable, 3 a shared object or a position-independent executable. */
  readonly type: number;
  readonly entry: number;
  readonly programHeaders: readonly ProgramHeader[];
  readonly programHeadersEnd: number;
}

interface LayoutProblem {
  readonly why: string;
  /** Length of the prefix that would help; absent if none would. */
  readonly needBytes?: number;
}

export const segmentType = {
  load: 1,
  interpreter: 3,
  note: 4,
  programHeaders: 6,
  tls: 7,
  gnuRelro: 0x6474_e552,
} as const;

// Linkers write about a dozen; the kernel refuses tables over 64 KiB (fs/binfmt_elf.c, load_elf_phdrs).
const maxProgramHeaders = 128;

export function hasElfMagic(prefix: Uint8Array): boolean {
  return prefix[0] === 0x7f && prefix[1] === 0x45 && prefix[2] === 0x4c && prefix[3] === 0x46;
}

// Offsets in the file header (gABI chapter 4, Elf32_Ehdr and Elf64_Ehdr).
const wideHeader = { size: 64, programHeaders: 32, entrySize: 54, programHeaderSize: 56 };
const narrowHeader = { size: 52, programHeaders: 28, entrySize: 42, programHeaderSize: 32 };

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
    machine: view.getUint16(18, littleEndian),
    entry: word(24),
    programHeaders: Array.from({ length: count }, (_, index) =>
      read(view, tableOffset + index * entrySize, littleEndian),
    ),
    programHeadersEnd,
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
    isWritable: isWritable(view.getUint32(at + 4, littleEndian)),
    offset: readUint64(view, at + 8, littleEndian),
    address: readUint64(view, at + 16, littleEndian),
    fileSize: readUint64(view, at + 32, littleEndian),
    align: readUint64(view, at + 48, littleEndian),
  };
}

function readNarrowProgramHeader(view: DataView, at: number, littleEndian: boolean): ProgramHeader {
  return {
    type: view.getUint32(at, littleEndian),
    isWritable: isWritable(view.getUint32(at + 24, littleEndian)),
    offset: view.getUint32(at + 4, littleEndian),
    address: view.getUint32(at + 8, littleEndian),
    fileSize: view.getUint32(at + 16, littleEndian),
    align: view.getUint32(at + 28, littleEndian),
  };
}

// PF_W of p_flags.
const isWritable = (flags: number): boolean => (flags & 2) !== 0;

// Values above 2^53 lose precision, which does not matter: no file is that long.
function readUint64(view: DataView, at: number, littleEndian: boolean): number {
  return Number(view.getBigUint64(at, littleEndian));
}
