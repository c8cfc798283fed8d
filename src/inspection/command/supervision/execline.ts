import { UNKNOWN, withoutMarks } from '../../shell/run/values.ts';
import { baseName, type Invocation } from '../invocation.ts';

/**
 * execline (https://skarnet.org/software/execline): a script is one command line, whose programs replace one another. A block
 * `{ … }` is handed on as words with a space in front, and an empty word behind.
 */

/** What an execline program runs. */
export interface Chain {
  /** It replaces the program. */
  readonly next: readonly string[];
  /** They may run in its place, or at the same time. */
  readonly beside: readonly (readonly string[])[];
  /** They end before. */
  readonly before: readonly (readonly string[])[];
}

interface Shape {
  /** Options whose value is the next word. */
  readonly valued?: string;
  /** Words in front of the blocks or the next program. */
  readonly operands?: number;
  /** What becomes of its blocks, in their order. `data`: they are no commands. */
  readonly blocks?: readonly ('before' | 'beside' | 'data')[];
  /** Number of the operand that names a variable, which is unknown from then on. */
  readonly sets?: number;
}

const shapes: Readonly<Record<string, Shape>> = {
  foreground: { blocks: ['before'] },
  background: { blocks: ['beside'] },
  if: { valued: '-x', blocks: ['before'] },
  ifelse: { valued: '-x', blocks: ['before', 'beside'] },
  ifthenelse: { blocks: ['before', 'beside', 'beside'] },
  ifte: { blocks: ['beside', 'beside'] },
  pipeline: { blocks: ['beside'] },
  backtick: { valued: '-D', operands: 1, blocks: ['before'], sets: 0 },
  forbacktickx: { valued: '-d -x', operands: 1, blocks: ['before'], sets: 0 },
  forx: { valued: '-x', operands: 1, blocks: ['data'], sets: 0 },
  forstdin: { valued: '-d -x', operands: 1, sets: 0 },
  loopwhilex: { valued: '-x' },
  trap: { blocks: ['data'] },
  wait: { valued: '-t', blocks: ['data'] },
  multisubstitute: { blocks: ['data'] },
  multidefine: { valued: '-d', operands: 1, blocks: ['data'] },
  fdmove: { operands: 2 },
  fdswap: { operands: 2 },
  fdclose: { operands: 1 },
  fdblock: { operands: 1 },
  redirfd: { operands: 2 },
  umask: { operands: 1 },
  export: { operands: 2 },
  unexport: { operands: 1 },
  emptyenv: {},
  homeof: { operands: 1 },
  getpid: { operands: 1, sets: 0 },
  exec: { valued: '-a' },
};

/** Returns what an execline program runs; undefined for any other program. */
export function chainOf({ argv, env }: Pick<Invocation, 'argv' | 'env'>): Chain | undefined {
  const [program = '', ...words] = argv;
  const name = baseName(program);
  if (name === 'define' || name === 'importas') return throughVariable(name, words, env);
  const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  // A block shows that it is execline's, for `if` and `wait` are other shells' words, too.
  if (shape === undefined || (shape.blocks !== undefined && !words.includes(''))) return undefined;
  return throughShape(words, shape);
}

function throughShape(words: readonly string[], { valued = '', operands = 0, blocks = [], sets }: Shape): Chain {
  const begin = afterOptions(words, valued.split(' '));
  const found = { before: [] as string[][], beside: [] as string[][], data: [] as string[][] };
  let at = begin + operands;
  for (const kind of blocks) {
    const end = words.findIndex((word, index) => index >= at && !word.startsWith(' '));
    const block = words.slice(at, end === -1 ? undefined : end).map((word) => word.slice(1));
    if (block.length > 0) found[kind].push(block);
    at += block.length + 1;
  }
  const { before, beside } = found;
  const variable = sets === undefined ? undefined : words[begin + sets];
  const next = words.slice(at);
  return { before, beside, next: variable === undefined ? next : substituted(next, variable, UNKNOWN) };
}

function afterOptions(words: readonly string[], valued: readonly string[]): number {
  let at = 0;
  while (/^-./u.test(words[at] ?? '')) {
    if (words[at] === '--') return at + 1;
    at += valued.includes(words[at] ?? '') ? 2 : 1;
  }
  return at;
}

function throughVariable(name: string, words: readonly string[], env: Invocation['env']): Chain {
  const begin = afterOptions(words, ['-D', '-d']);
  const options = words.slice(0, begin);
  const isShort = name === 'importas' && options.some((word) => /^-[A-Za-z]*S/u.test(word));
  const [variable = '', second = ''] = words.slice(begin);
  const fallback = options[options.indexOf('-D') + 1];
  const imported = env.get(isShort ? variable : second) ?? (options.includes('-D') ? fallback : undefined);
  const value = name === 'define' ? second : (imported ?? UNKNOWN);
  return {
    next: substituted(words.slice(begin + (isShort ? 1 : 2)), variable, value),
    beside: [],
    before: [],
  };
}

function substituted(words: readonly string[], variable: string, value: string): readonly string[] {
  return words.map((word) => word.replaceAll(`\${${variable}}`, () => value).replaceAll(`$${variable}`, () => value));
}

const mostWords = 512;

/** Returns the command line of an execline script, called with `args`. */
export function readExecline(text: string, args: readonly string[]): readonly string[] {
  const words: string[] = [];
  let depth = 0;
  const token = /#[^\n]*|"((?:[^"\\]|\\[\s\S])*)"|((?:[^\s"\\]|\\[\s\S])+)|\s+/gu;
  for (const [whole, quoted, plain] of withoutMarks(text).matchAll(token)) {
    if (words.length >= mostWords) break;
    const word = (quoted ?? plain)?.replaceAll(/\\([\s\S])/gu, '$1');
    if (word === undefined || whole.startsWith('#')) continue;
    if (plain === '{') depth += 1;
    else if (plain === '}') {
      depth = Math.max(0, depth - 1);
      words.push(' '.repeat(depth));
    } else if (word === '$@') words.push(...args.map((arg) => ' '.repeat(depth) + arg));
    else words.push(' '.repeat(depth) + positional(word, args));
  }
  return words;
}

const positional = (word: string, args: readonly string[]): string =>
  word.replaceAll(/\$\{?([1-9])\}?/gu, (whole, digit: string) => args[Number(digit) - 1] ?? whole);
