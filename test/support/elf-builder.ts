/** Builds minimal ELF files for tests: headers, program headers, notes and an interpreter. */

export interface ElfOptions {
  readonly wide?: boolean;
  readonly bigEndian?: boolean;
  /** `e_type`. Default 2, an executable. */
  readonly type?: number;
  readonly osAbi?: number;
  readonly interpreter?: string;
  readonly notes?: readonly { readonly owner: string; readonly type: number }[];
  /** Offset of the notes, to put them out of reach. */
  readonly notesAt?: number;
  readonly segments?: readonly { readonly type: number; readonly align?: number }[];
  /** Places them like the Go linker. */
  readonly sectionHeadersBehindProgramHeaders?: boolean;
  readonly programHeadersAt?: number;
  /** Any text, right behind the program headers. */
  readonly text?: string;
  /** `e_machine`. Default 0. */
  readonly machine?: number;
  /** What is at the entry point, and where that is in the file. */
  readonly code?: { readonly at: number; readonly bytes: Uint8Array };
  /** Offset of the interpreter, to put it out of reach. */
  readonly interpreterAt?: number;
  readonly size?: number;
}

/** Where `code` is loaded, less its offset in the file. */
const BASE = 0x40_0000;

const PT_INTERP = 3;
const PT_NOTE = 4;

export const PT_PHDR = 6;
export const PT_GNU_RELRO = 0x6474_e552;

const noCode = { at: 0x1000, bytes: Buffer.alloc(0) };
const defaults = { wide: true, bigEndian: false, type: 2, osAbi: 0, machine: 0 };

/** Builds an ELF file of at least `size` bytes (default 8192). */
export function elf(options: ElfOptions = {}): Buffer {
  const { wide, bigEndian, type, osAbi, machine } = { ...defaults, ...options };
  const place = arrange(options, wide, bigEndian);
  const bytes = Buffer.alloc(place.size);
  const write = writer(bytes, bigEndian, wide);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, bigEndian ? 2 : 1, 1, osAbi]);
  write.half(16, type);
  write.half(18, machine);
  write.word(24, BASE + place.codeAt);
  write.word(wide ? 32 : 28, place.tableAt);
  write.word(wide ? 40 : 32, options.sectionHeadersBehindProgramHeaders === true ? place.tableEnd : bytes.length);
  write.half(wide ? 54 : 42, place.entrySize);
  write.half(wide ? 56 : 44, place.headers.length);
  place.headers.forEach((header, index) => write.programHeader(place.tableAt + index * place.entrySize, header));
  for (const [at, part] of place.parts) bytes.set(part, at);
  return bytes;
}

/** Computes the parts of the file and their offsets. */
function arrange(options: ElfOptions, wide: boolean, bigEndian: boolean) {
  const { interpreter, segments = [], programHeadersAt: tableAt = wide ? 64 : 52 } = options;
  const entrySize = wide ? 56 : 32;
  const notes = notesOf(options, bigEndian);
  const count = 1 + segments.length + Number(interpreter !== undefined) + Number(notes.length > 0);
  const tableEnd = tableAt + count * entrySize;
  const text = Buffer.from(`\0${options.text ?? ''}\0`);
  const name = Buffer.from(interpreter === undefined ? '' : `${interpreter}\0`);
  const textAt = tableAt > 1024 ? 512 : tableEnd;
  const nameAt = options.interpreterAt ?? textAt + text.length;
  const notesAt = options.notesAt ?? Math.ceil((textAt + text.length + name.length) / 4) * 4;
  const code = options.code ?? noCode;
  const headers: Segment[] = [
    loadSegment(options),
    ...segments.map(({ type, align = 8 }) => ({ type, offset: 0, size: 0, align })),
    ...(interpreter === undefined ? [] : [{ type: PT_INTERP, offset: nameAt, size: name.length, align: 1 }]),
    ...(notes.length === 0 ? [] : [{ type: PT_NOTE, offset: notesAt, size: notes.length, align: 4 }]),
  ];
  const { at: codeAt, bytes: codeBytes } = code;
  const found = [
    [textAt, text] as const,
    [nameAt, name] as const,
    [notesAt, notes] as const,
    [codeAt, codeBytes] as const,
  ];
  const parts = found.filter(([, part]) => part.length > 0);
  const size = Math.max(options.size ?? 8192, tableEnd, ...parts.map(([at, part]) => at + part.length));
  return { tableAt, tableEnd, entrySize, headers, parts, codeAt, size };
}

function notesOf({ notes = [] }: ElfOptions, bigEndian: boolean): Buffer {
  return Buffer.concat(notes.map((note) => noteBytes(note, bigEndian)));
}

// Without code, no segment holds the entry point.
function loadSegment({ code }: ElfOptions): Segment {
  const load = { type: 1, offset: 0, align: 4096 };
  return code === undefined ? { ...load, size: 4096 } : { ...load, size: code.at + code.bytes.length, address: BASE };
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address?: number;
  readonly size: number;
  readonly align: number;
}

interface Writer {
  readonly half: (at: number, value: number) => void;
  readonly word: (at: number, value: number) => void;
  readonly programHeader: (at: number, segment: Segment) => void;
}

function writer(bytes: Buffer, bigEndian: boolean, wide: boolean): Writer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const half = (at: number, value: number): void => view.setUint16(at, value, !bigEndian);
  const int = (at: number, value: number): void => view.setUint32(at, value, !bigEndian);
  const word = (at: number, value: number): void =>
    wide ? view.setBigUint64(at, BigInt(value), !bigEndian) : int(at, value);
  return {
    half,
    word,
    programHeader: (at, { type, offset, address = 0, size, align }) => {
      int(at, type);
      word(at + (wide ? 8 : 4), offset);
      word(at + (wide ? 16 : 8), address);
      word(at + (wide ? 32 : 16), size);
      word(at + (wide ? 48 : 28), align);
    },
  };
}

function noteBytes({ owner, type }: { readonly owner: string; readonly type: number }, bigEndian: boolean): Buffer {
  const name = Buffer.alloc(Math.ceil((owner.length + 1) / 4) * 4);
  name.write(owner, 'latin1');
  const header = Buffer.alloc(12);
  const view = new DataView(header.buffer, header.byteOffset, 12);
  view.setUint32(0, owner.length + 1, !bigEndian);
  view.setUint32(4, 16, !bigEndian);
  view.setUint32(8, type, !bigEndian);
  return Buffer.concat([header, name, Buffer.alloc(16)]);
}
