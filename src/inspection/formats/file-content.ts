import { isScript, parseScript } from '../command/script.ts';
import type { FileContent } from '../overlay.ts';
import { inspectElf } from './elf.ts';
import { judgeStatic, type StaticJudgement } from './static-marks.ts';

const firstBytes = 4096;
const firstLine = 256;
// 8 KiB decided 33 of 34 real executables; a longer prefix than this is not worth its cost.
const mostBytes = 128 * 1024;
// Docker's official entrypoint scripts reach 15 KB.
export const longestScript = 32 * 1024;

/** Returns the first `length` bytes of a file; fewer if the file, or the part of it that was read, ends before. */
export type Head = (length: number) => Promise<Uint8Array>;

/**
 * Determines what a file of `size` bytes is, from as few of its first bytes as possible. Reads at most `mostScript`
 * bytes of a script. Rejects only with the errors of `head`.
 */
export async function readContent(head: Head, size: number, mostScript = longestScript): Promise<FileContent> {
  let bytes = await head(firstBytes);
  if (isScript(bytes)) {
    if (size > firstBytes && mostScript > firstBytes) bytes = await head(mostScript);
    const held = Buffer.from(bytes.subarray(0, Math.max(mostScript, firstLine)));
    return { kind: 'script', script: parseScript(held.toString('utf8')) };
  }
  let finding = inspectElf(bytes, bytes.length >= size);
  while (finding.kind === 'undetermined' && finding.needBytes !== undefined && finding.needBytes <= mostBytes) {
    const more = await head(Math.max(finding.needBytes, bytes.length * 2));
    if (more.length <= bytes.length) break;
    bytes = more;
    finding = inspectElf(bytes, bytes.length >= size);
  }
  if (finding.kind === 'not-elf') return { kind: 'plain' };
  return finding.kind === 'static' && finding.runtime === 'unmarked'
    ? { kind: 'elf', finding, judgement: judgeStatic(finding, bytes, bytes.length >= size) }
    : { kind: 'elf', finding };
}

/**
 * Reads on in a static program, as long as `mayReadOn` allows it, until a text in it names its C library. Returns
 * `content` unchanged if that would tell nothing new.
 */
export async function searchMarks(
  content: FileContent,
  head: Head,
  size: number,
  mayReadOn: () => boolean,
): Promise<FileContent> {
  if (content.kind !== 'elf' || content.finding.kind !== 'static' || content.finding.runtime !== 'unmarked')
    return content;
  const { finding } = content;
  let judged = content.judgement;
  let held = 0;
  for (let length = 32 * 1024; length <= 1024 * 1024 && mayReadOn(); length *= 2) {
    if (judged !== undefined && isSettled(judged)) break;
    const bytes = await head(length);
    if (bytes.length <= held) break;
    held = bytes.length;
    judged = judgeStatic(finding, bytes, bytes.length >= size);
  }
  return judged === undefined ? content : { kind: 'elf', finding, judgement: judged };
}

function isSettled(judged: StaticJudgement): boolean {
  return judged.libc === 'musl' ? judged.sure : judged.libc !== 'unknown';
}
