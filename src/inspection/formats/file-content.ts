import { isScript } from '../command/script.ts';
import type { FileContent } from '../overlay.ts';
import { type ElfFinding, inspectElf, type Piece } from './elf.ts';
import { judgeStatic, type StaticJudgement } from './static-marks.ts';
import type { FileBytes } from './tar.ts';

const firstBytes = 4096;
const firstLine = 256;
const symbolBytes = 8192;
// gcc puts the code of a static program within this distance. Of one that is wanted, more is read: see `searchMarks`.
const codeBytes = 32 * 1024;
// 8 KiB decided 33 of 34 real executables; a longer prefix than this is not worth its cost.
const mostBytes = 128 * 1024;
// Docker's official entrypoint scripts reach 15 KB, Erlang's start scripts 45 KB.
export const longestScript = 128 * 1024;
// Longer ones configure something else than which programs run.
export const longestText = 16 * 1024;

/** Most bytes that are kept of a file. */
interface TextLimits {
  /** Of a script. */
  readonly script: number;
  /** Of another text that a script may read. */
  readonly text: number;
}

/**
 * Determines what a file of `size` bytes is, from as few of its first bytes as possible. Rejects only with the errors of
 * `head`.
 */
export async function readContent(
  { head }: Pick<FileBytes, 'head'>,
  size: number,
  { script: mostScript, text: mostText }: TextLimits = { script: longestScript, text: longestText },
): Promise<FileContent> {
  let bytes = await head(firstBytes);
  if (isScript(bytes)) {
    if (size > firstBytes && mostScript > firstBytes) bytes = await head(mostScript);
    const held = Buffer.from(bytes.subarray(0, Math.max(mostScript, firstLine)));
    return { kind: 'script', text: held.toString('utf8'), whole: held.length >= size };
  }
  let finding = inspectElf(bytes, bytes.length >= size);
  for (;;) {
    const needed = neededBytes(finding, bytes.length);
    const most = finding.kind === 'undetermined' ? mostBytes : codeBytes;
    if (needed === undefined || needed > most || bytes.length >= size) break;
    const more = await head(Math.max(needed, bytes.length * 2));
    if (more.length <= bytes.length) break;
    bytes = more;
    finding = inspectElf(bytes, bytes.length >= size);
  }
  if (finding.kind === 'not-elf') return size <= mostText ? readText(await head(size)) : { kind: 'plain' };
  return elfContent(finding, bytes, bytes.length >= size);
}

function readText(bytes: Uint8Array): FileContent {
  return bytes.includes(0) ? { kind: 'plain' } : { kind: 'plain', text: Buffer.from(bytes).toString('utf8') };
}

/** Returns the length of the prefix that would tell more; undefined if none would. */
function neededBytes(finding: ElfFinding, held: number): number | undefined {
  if (finding.kind === 'undetermined') return finding.needBytes;
  if ('apart' in finding && finding.apart !== undefined) return finding.apart.offset + finding.apart.length;
  // The names that cgo exports are behind the headers and the tables of symbols.
  return finding.kind === 'dynamic' && !finding.go && held < symbolBytes ? symbolBytes : undefined;
}

/**
 * Reads on in a program whose first bytes did not settle what it is: until a text names the C library of a static one, or to
 * its code or its interpreter, as long as `mayReadOn` allows it. An interpreter far into the file is always read. Returns
 * `content` unchanged if that would tell nothing new.
 */
export async function searchMarks(
  content: FileContent,
  bytes: FileBytes,
  size: number,
  mayReadOn: () => boolean,
): Promise<FileContent> {
  if (content.kind !== 'elf') return content;
  const searched = await searchTexts(content, bytes, size, mayReadOn);
  return searchApart(searched, bytes, size, mayReadOn);
}

/** A program's interpreter, its code, and the settings of Go's build. */
const mostPieces = 3;

async function searchApart(
  content: ElfContent,
  bytes: FileBytes,
  size: number,
  mayReadOn: () => boolean,
): Promise<ElfContent> {
  let searched = content;
  const pieces: Piece[] = [];
  while (pieces.length < mostPieces) {
    const { finding, judgement } = searched;
    if (!('apart' in finding) || finding.apart === undefined) break;
    if (judgement !== undefined && isSettled(judgement)) break;
    if (finding.kind !== 'undetermined' && !mayReadOn()) break;
    // Tells more, and is on the way.
    const prefix = await bytes.head(mostBytes);
    const { offset, length } = finding.apart;
    const piece = { offset, bytes: Buffer.from(await bytes.at(offset, length)) };
    if (piece.bytes.length === 0) break;
    pieces.push(piece);
    searched = elfContent(inspectElf(prefix, prefix.length >= size, ...pieces), prefix, prefix.length >= size);
  }
  return searched;
}

async function searchTexts(
  content: ElfContent,
  { head }: FileBytes,
  size: number,
  mayReadOn: () => boolean,
): Promise<ElfContent> {
  let searched = content;
  let held = 0;
  for (let length = 32 * 1024; length <= 1024 * 1024 && mayReadOn(); length *= 2) {
    const { finding, judgement } = searched;
    if (finding.kind !== 'static' || finding.runtime !== 'unmarked') break;
    if (judgement !== undefined && isSettled(judgement)) break;
    const bytes = await head(length);
    if (bytes.length <= held) break;
    held = bytes.length;
    searched = elfContent(inspectElf(bytes, bytes.length >= size), bytes, bytes.length >= size);
  }
  return searched;
}

type ElfContent = Extract<FileContent, { kind: 'elf' }>;

function elfContent(finding: ElfFinding, bytes: Uint8Array, complete: boolean): ElfContent {
  return finding.kind === 'static' && finding.runtime === 'unmarked'
    ? { kind: 'elf', finding, judgement: judgeStatic(finding, bytes, complete) }
    : { kind: 'elf', finding };
}

function isSettled(judged: StaticJudgement): boolean {
  return 'sure' in judged ? judged.sure : judged.libc !== 'unknown';
}
