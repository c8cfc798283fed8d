import { segmentType, type ElfLayout, type ProgramHeader } from './elf-layout.ts';

/** What an executable's notes say about who made it. */
export interface ElfNotes {
  /** (`Go`, 4): the Go linker's build id (cmd/link/internal/ld/elf.go). */
  readonly go: boolean;
  /** (`GNU`, 1): glibc's start files put it into every program (Linux Standard Base, .note.ABI-tag); musl's do not. */
  readonly gnuAbi: boolean;
  /** A note of another system's C library: Android, FreeBSD, NetBSD, OpenBSD. */
  readonly foreign: string | undefined;
  /** Bytes that would have to be held to see every note; 0 when all were seen. */
  readonly needBytes: number;
}

const maxNotes = 64;
const foreignOwners = new Set(['Android', 'FreeBSD', 'NetBSD', 'OpenBSD', 'Xen']);

/** Reads all PT_NOTE segments within `prefix` (gABI chapter 5, "Note Section"). */
export function readElfNotes(prefix: Uint8Array, layout: ElfLayout): ElfNotes {
  const found = { go: false, gnuAbi: false, foreign: undefined as string | undefined, needBytes: 0 };
  let budget = maxNotes;
  for (const segment of layout.programHeaders) {
    if (segment.type !== segmentType.note) continue;
    const end = segment.offset + segment.fileSize;
    if (end > prefix.length) found.needBytes = Math.max(found.needBytes, end);
    for (const note of walkNotes(prefix, segment, layout.littleEndian)) {
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

function* walkNotes(prefix: Uint8Array, segment: ProgramHeader, littleEndian: boolean): Generator<Note> {
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const end = Math.min(segment.offset + segment.fileSize, prefix.length);
  const align = segment.align === 8 ? 8 : 4;
  let at = segment.offset;
  while (at + 12 <= end) {
    const nameSize = view.getUint32(at, littleEndian);
    const descriptionSize = view.getUint32(at + 4, littleEndian);
    const nameEnd = at + 12 + nameSize;
    if (nameEnd > end) return;
    // Owners are short: a long one is none that counts here.
    const name = prefix.subarray(at + 12, Math.min(nameEnd, at + 12 + 16));
    yield { owner: untilNul(name), type: view.getUint32(at + 8, littleEndian) };
    at = alignTo(alignTo(nameEnd - segment.offset, align) + descriptionSize, align) + segment.offset;
  }
}

function alignTo(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

function untilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString('latin1');
}
