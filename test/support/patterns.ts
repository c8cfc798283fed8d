import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';
import { parseSync, Visitor } from 'oxc-parser';

/** A regular expression in our source. */
export interface Pattern {
  readonly file: string;
  readonly line: number;
  readonly source: string;
  readonly flags: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Returns all literal patterns of `src`. */
export function patternsOfSource(): readonly Pattern[] {
  return globSync('src/**/*.ts', { cwd: root }).flatMap((file) =>
    patternsIn(file, readFileSync(`${root}${file}`, 'utf8')),
  );
}

function patternsIn(file: string, text: string): Pattern[] {
  const found: Pattern[] = [];
  new Visitor({
    Literal(node) {
      if (!('regex' in node)) return;
      const { pattern: source, flags } = node.regex;
      found.push({ file, line: text.slice(0, node.start).split('\n').length, source, flags });
    },
  }).visit(parseSync(file, text).program);
  return found;
}

// Lengths of the texts, in turn: exponential time shows in the first two, and would never end in the last.
const lengths = [24, 72, 400, 4000];
// Linear patterns take less than 0.1 ms for the longest, quadratic ones 1 ms or more.
const slowMs = 0.7;
// A slow one is looked at again with so many times the longest text: its time tells linear from quadratic.
const factor = 4;
const leastGrowth = 7;
const tries = 3;
const samples = 8;
const longestPiece = 12;
const mostStarts = 3;
// What may keep a pattern from matching at the end.
const ends = ['', '\n', '\0', '!'];

/**
 * Returns a text for which the pattern takes more than linear time; undefined if none was found. Repeats pieces of texts that
 * match, and all single characters that it names, in front of ends that do not.
 */
export function slowText({ source, flags }: Pick<Pattern, 'source' | 'flags'>): string | undefined {
  const pattern = new RegExp(source, flags.replace('g', ''));
  const texts = matching(source, flags);
  const starts = ['', ...new Set(texts.map((text) => text.slice(0, 1)))].slice(0, mostStarts);
  for (const piece of piecesOf(source, texts)) {
    for (const [start, end] of starts.flatMap((one) => ends.map((other) => [one, other] as const))) {
      if (isSlow(pattern, (length) => start + piece.repeat(Math.ceil(length / piece.length)) + end)) return piece;
    }
  }
  return undefined;
}

function isSlow(pattern: RegExp, text: (length: number) => string): boolean {
  const slow = lengths.find((length) => timeOf(pattern, text(length)) >= slowMs);
  if (slow === undefined) return false;
  const ms = leastTime(pattern, text(slow));
  if (ms < slowMs) return false;
  return slow !== lengths.at(-1) || leastTime(pattern, text(slow * factor)) > ms * leastGrowth;
}

function timeOf(pattern: RegExp, text: string): number {
  const began = performance.now();
  pattern.test(text);
  return performance.now() - began;
}

const leastTime = (pattern: RegExp, text: string): number =>
  Math.min(...Array.from({ length: tries }, () => timeOf(pattern, text)));

function piecesOf(source: string, texts: readonly string[]): Set<string> {
  const pieces = new Set<string>(source.replaceAll(/\\./gu, '').match(/[\w./:@%=<>"'#-]/gu) ?? []);
  for (const single of [' ', '\t', '\n', '\0', '0', 'a', '-', '\\']) pieces.add(single);
  for (const text of texts) {
    for (let at = 1; at <= Math.min(text.length, longestPiece); at += 1) {
      pieces.add(text.slice(0, at));
      pieces.add(text.slice(-at));
    }
  }
  pieces.delete('');
  return pieces;
}

/** Returns texts that match; none of a pattern with assertions that fast-check does not know. */
function matching(source: string, flags: string): readonly string[] {
  // An assertion makes no text: without it the rest is a pattern of the same pieces.
  const plain = source.replaceAll(/\(\?<?[=!][^()]*\)|\\[bB]|(?<!\\)(?<!\[)[$^]/gu, '').replaceAll(/\\\d/gu, '');
  try {
    return fc.sample(fc.stringMatching(new RegExp(`^(?:${plain})$`, flags.replaceAll(/[^iu]/g, ''))), {
      numRuns: samples,
      seed: 1,
    });
  } catch {
    return [];
  }
}
