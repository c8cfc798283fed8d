import { baseName, joinPath } from '../command/invocation.ts';
import { withoutTrailing } from '../../util/text.ts';
import type { Run } from './run/run.ts';
import { environmentOf, type State } from './run/state.ts';
import { isKnown, UNKNOWN } from './run/values.ts';
import { filtered } from './filters.ts';
import type { FileAt } from './run/world.ts';

const mostNumbers = 64;
const longestSubject = 512;

/** Returns what a program prints, unknown text included; undefined if it prints nothing and fails. */
type Output = (state: State, words: readonly string[], run: Run) => string | undefined;

/** What programs that only print write, where it can be known. */
export const outputs: Readonly<Record<string, Output>> = {
  dirname: (_, words) => known(operandsOf(words)[0] ?? '.', parent),
  basename: (_, words) => {
    const [path = '', suffix = ''] = operandsOf(words);
    return known(path, (one) => withoutSuffix(baseName(one), suffix));
  },
  readlink: (state, words, run) => readLink(state, words, run),
  realpath: (state, words, run) => known(words.at(-1) ?? '', (path) => resolved(state, path, run)),
  id: (state, words) => (/^-[a-z]*u$/u.test(words.join(' ')) ? state.uid : UNKNOWN),
  whoami: ({ uid }) => (uid === '0' ? 'root' : UNKNOWN),
  cat: (state, words, run) => (words.length === 1 ? textAt(state, words[0] ?? '', run) : UNKNOWN),
  ...Object.fromEntries(
    ['cut', 'grep', 'sed', 'awk', 'head', 'tail'].map((name): [string, Output] => [
      name,
      (...call) => ofFile(name, ...call),
    ]),
  ),
  expr: (_, words) => matched(words),
  find: findFiles,
  ls: listed,
  which: (state, words, { world }) => {
    const name = words.find((word) => !word.startsWith('-')) ?? '';
    if (!isKnown(name)) return UNKNOWN;
    return (
      (name.includes('/') ? name : world.which(name, { env: environmentOf(state), directory: state.directory })) ?? name
    );
  },
  seq: (_, words) => {
    const [first = 0, last = first] = words.map(Number);
    const from = words.length > 1 ? first : 1;
    const count = last - from + 1;
    const isShort = words.length > 0 && words.length < 3 && Number.isInteger(count) && count <= mostNumbers;
    return isShort
      ? Array.from({ length: Math.max(0, count) }, (__, index) => String(from + index)).join('\n')
      : UNKNOWN;
  },
  uname: (_, words, { world }) => {
    if (words.length === 0 || words[0] === '-s') return 'Linux';
    return /^(?:-m|--machine)$/u.test(words.join(' ')) ? machineOf(world.architecture).kernel : UNKNOWN;
  },
  arch: (_, __, { world }) => machineOf(world.architecture).kernel,
  dpkg: (_, words, { world }) =>
    words.join(' ') === '--print-architecture' ? machineOf(world.architecture).debian : UNKNOWN,
  apk: (_, words, { world }) => (words.join(' ') === '--print-arch' ? machineOf(world.architecture).alpine : UNKNOWN),
};

const operandsOf = (words: readonly string[]): readonly string[] => (words[0] === '--' ? words.slice(1) : words);

/** What a filter makes of its last word, a file. */
function ofFile(name: string, ...[state, words, run]: Parameters<Output>): string {
  const text = words.length > 1 ? textAt(state, words.at(-1) ?? '', run) : UNKNOWN;
  return (isKnown(text) ? filtered([name, ...words.slice(0, -1)], text) : undefined) ?? UNKNOWN;
}

// `ls PATTERN`: the names come from the shell. Without -d it goes into directories.
function listed(state: State, words: readonly string[], { world }: Run): string {
  const names = words.filter((word) => !word.startsWith('-'));
  const options = words.filter((word) => word.startsWith('-') && word !== '--');
  if (options.some((word) => word.includes('l')))
    return listedLink(names, options, (path) => world.at(joinPath(state.directory, path)));
  const isPlain = options.every((word) => /^-[1d]+$/u.test(word)) && names.length > 0 && names.every(isKnown);
  const areFiles = (): boolean => names.every((name) => world.at(joinPath(state.directory, name)).type === 'file');
  return isPlain && (options.some((word) => word.includes('d')) || areFiles()) ? names.join('\n') : UNKNOWN;
}

/** `ls -ld LINK`: start scripts read what follows ` -> `. */
function listedLink(names: readonly string[], options: readonly string[], at: (path: string) => FileAt): string {
  const [path = ''] = names;
  if (names.length !== 1 || !isKnown(path) || options.some((word) => /[^-ld]/u.test(word))) return UNKNOWN;
  const file = at(path);
  return file.type === 'file' && file.linked
    ? `lrwxrwxrwx 1 root root 0 Jan  1 00:00 ${path} -> ${file.path}`
    : UNKNOWN;
}

const plainPattern = /^(?:[\w/> -]|\.\*|\\\(\.\*\\\)){1,64}\$?$/u;

/** `expr TEXT : PATTERN` (POSIX.1-2024 XCU expr), for patterns of plain text and `.*`, one of them in `\( … \)`. */
function matched([text = '', operator, pattern = '', ...more]: readonly string[]): string | undefined {
  if (operator !== ':' || more.length > 0 || !isKnown(text)) return UNKNOWN;
  // Two repetitions take a time that grows with the square of the text.
  if (!plainPattern.test(pattern) || pattern.split('*').length > 3 || text.length > longestSubject) return UNKNOWN;
  const source = pattern.replaceAll(/\\([()])/gu, '$1');
  const match = new RegExp(`^${source}`, 'u').exec(text);
  const result = source.includes('(') ? match?.[1] : match?.[0].length.toString();
  // Without a match it prints 0 or nothing, and fails.
  return result === '' || result === '0' ? undefined : result;
}

/** `find DIRECTORY… -type f -name PATTERN`, or without a name, where it finds one file: it has an order of its own. */
function findFiles({ directory }: State, words: readonly string[], { world }: Run): string {
  const first = words.findIndex((word) => word.startsWith('-'));
  const [places, tests] = [words.slice(0, Math.max(0, first)), words.slice(first)];
  const isPlain = /^(?:-(?:name\n[^\n]+|type\nf|mindepth\n1|executable|print|quit)(?:\n|$))+$/u.test(tests.join('\n'));
  const name = tests.includes('-name') ? (tests[tests.indexOf('-name') + 1] ?? '') : '*';
  const [, star, suffix] = /^(\*?)([\w.+-]*)$/u.exec(name) ?? [];
  if (!isPlain || suffix === undefined || !tests.includes('-type') || !isKnown(words.join('') + directory))
    return UNKNOWN;
  const end = star === '' ? `/${suffix}` : suffix;
  const found = places.map((place) => world.below(joinPath(directory, place), end));
  const files = found.flatMap((paths) => paths ?? [UNKNOWN]).filter((path) => !isLink(path, world));
  return files.length > 1 ? UNKNOWN : (files[0] ?? '');
}

function isLink(path: string, world: Run['world']): boolean {
  const file = isKnown(path) ? world.at(path) : undefined;
  return file?.type === 'file' && file.linked;
}

interface Machine {
  readonly kernel: string;
  readonly debian: string;
  readonly alpine: string;
}

// By the name that the image's platform has (GOARCH), of which these two tell all.
const machines: Readonly<Record<string, Machine>> = {
  amd64: { kernel: 'x86_64', debian: 'amd64', alpine: 'x86_64' },
  arm64: { kernel: 'aarch64', debian: 'arm64', alpine: 'aarch64' },
};

const machineOf = (architecture: string): Machine =>
  (Object.hasOwn(machines, architecture) ? machines[architecture] : undefined) ?? {
    kernel: UNKNOWN,
    debian: UNKNOWN,
    alpine: UNKNOWN,
  };

function textAt(state: State, path: string, { world }: Run): string {
  if (path === '' || !isKnown(path) || path.startsWith('-')) return UNKNOWN;
  const file = world.at(joinPath(state.directory, path), true);
  return file.type === 'file' ? (file.text ?? UNKNOWN) : UNKNOWN;
}

/** Returns where a path leads, links followed as far as the image has them. */
export function resolved(state: State, path: string, { world }: Run): string {
  const asked = joinPath(state.directory, path);
  if (!isKnown(asked)) return UNKNOWN;
  const file = world.at(asked);
  return file.type === 'file' || file.type === 'directory' ? file.path : asked;
}

/** `readlink`: without `-f` it fails for what is no link. */
function readLink(state: State, words: readonly string[], run: Run): string | undefined {
  const path = words.at(-1) ?? '';
  if (words.some((word) => /^-[a-z]*[fem]|^--canonicalize/u.test(word)))
    return known(path, (one) => resolved(state, one, run));
  const asked = joinPath(state.directory, path);
  if (!isKnown(asked)) return UNKNOWN;
  const file = run.world.at(asked);
  if (file.type === 'file') return file.linked ? file.path : undefined;
  return UNKNOWN;
}

const known = (path: string, change: (path: string) => string): string => (isKnown(path) ? change(path) : UNKNOWN);

const parent = (path: string): string => {
  const slash = withoutTrailing(path, '/').lastIndexOf('/');
  return slash === -1 ? '.' : path.slice(0, slash) || '/';
};

const withoutSuffix = (name: string, suffix: string): string =>
  suffix !== '' && isKnown(suffix) && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
