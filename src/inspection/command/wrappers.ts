import { execWrapper } from '../../detection/pod/exec-wrappers.ts';
import { splitWords } from './shell.ts';

/** What a wrapper runs. `isLoader`: the wrapper is a dynamic loader, and the program gets its libc. */
interface Wrapped {
  readonly argv: readonly string[];
  readonly env?: ReadonlyMap<string, string>;
  readonly directory?: string;
  readonly isLoader?: boolean;
}

type Wrapper = (words: readonly string[], env: ReadonlyMap<string, string>) => Wrapped | undefined;

interface Shape {
  /** Options whose value is the next word. */
  readonly valued?: readonly string[];
  /** Number of words between the options and the program. */
  readonly operands?: number;
}

// From each program's manual page or --help.
const shapes: Readonly<Record<string, Shape>> = {
  tini: { valued: ['-p', '-e'] },
  'tini-static': { valued: ['-p', '-e'] },
  'docker-init': { valued: ['-p', '-e'] },
  'dumb-init': { valued: ['-r', '--rewrite'] },
  catatonit: {},
  nohup: {},
  setsid: {},
  exec: { valued: ['-a'] },
  nice: { valued: ['-n', '--adjustment'] },
  ionice: { valued: ['-c', '-n', '--class', '--classdata'] },
  stdbuf: { valued: ['-i', '-o', '-e', '--input', '--output', '--error'] },
  timeout: { valued: ['-k', '-s', '--kill-after', '--signal'], operands: 1 },
  gosu: { operands: 1 },
  'su-exec': { operands: 1 },
  's6-setuidgid': { operands: 1 },
  chroot: { valued: [], operands: 1 },
  setpriv: {
    valued: [
      '--reuid',
      '--ruid',
      '--euid',
      '--regid',
      '--rgid',
      '--egid',
      '--groups',
      '--inh-caps',
      '--ambient-caps',
    ].concat(['--bounding-set', '--securebits', '--pdeathsig', '--selinux-label', '--apparmor-profile']),
  },
};

const loaderOptions = ['--library-path', '--argv0', '--preload', '--inhibit-rpath', '--audit', '--glibc-hwcaps-mask'];
const loaderName = /^(?:ld-(?:musl-|linux)[\w.-]+|ld64\.so\.\d+|ld-2\.\d+\.so)$/u;

/** Returns how to look through a program of this name; undefined if it is no wrapper. */
export function wrapperOf(name: string): Wrapper | undefined {
  if (name === 'env') return throughEnv;
  if (name === 'busybox') return throughBusybox;
  if (loaderName.test(name)) return throughLoader;
  const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  if (shape === undefined) return throughExec(name);
  return (words) => ({ argv: afterOptions(words, shape) });
}

function throughExec(name: string): Wrapper | undefined {
  const behind = execWrapper(name);
  if (behind === undefined) return undefined;
  return (words) => {
    const argv = behind(words);
    return argv && { argv };
  };
}

function afterOptions(words: readonly string[], { valued = [], operands = 0 }: Shape): readonly string[] {
  let at = 0;
  while (at < words.length) {
    const word = words[at] ?? '';
    if (word === '--') {
      at += 1;
      break;
    }
    if (!word.startsWith('-') || word === '-') break;
    at += valued.includes(word) ? 2 : 1;
  }
  return words.slice(at + operands);
}

// Of busybox's programs only these run another one.
function throughBusybox(words: readonly string[]): Wrapped | undefined {
  return /^(?:a?sh|env|timeout|nice|nohup|setsid)$/u.test(words[0] ?? '') ? { argv: words } : undefined;
}

function throughLoader(words: readonly string[]): Wrapped {
  return { argv: afterOptions(words, { valued: loaderOptions }), isLoader: true };
}

// env(1), GNU and busybox: options, then assignments, then the program.
function throughEnv(words: readonly string[], env: ReadonlyMap<string, string>): Wrapped {
  const state: EnvState = { rest: splitOption(words), env: new Map(env), directory: undefined };
  for (let word = state.rest.shift(); word !== undefined; word = state.rest.shift()) {
    if (applyOption(word, state) || applyAssignment(word, state)) continue;
    return {
      argv: word === '--' ? state.rest : [word, ...state.rest],
      env: state.env,
      ...(state.directory !== undefined && { directory: state.directory }),
    };
  }
  return { argv: [] };
}

interface EnvState {
  readonly rest: string[];
  readonly env: Map<string, string>;
  directory: string | undefined;
}

// `env -S TEXT` splits TEXT into words; `#!` lines use it.
function splitOption(words: readonly string[]): string[] {
  const [first = '', ...others] = words;
  const text = /^(?:-[iv]*S|--split-string=?)(?<text>.*)$/su.exec(first)?.groups?.['text'];
  if (text === undefined) return [...words];
  return text === '' ? [...splitWords(others[0] ?? ''), ...others.slice(1)] : [...splitWords(text), ...others];
}

function applyOption(word: string, state: EnvState): boolean {
  if (!word.startsWith('-') || word === '--') return false;
  if (word === '-i' || word === '-' || word === '--ignore-environment') state.env.clear();
  else if (word === '-u' || word === '--unset') state.env.delete(state.rest.shift() ?? '');
  else if (word.startsWith('--unset=')) state.env.delete(afterEquals(word));
  else if (word === '-C' || word === '--chdir') state.directory = state.rest.shift();
  else if (word.startsWith('--chdir=')) state.directory = afterEquals(word);
  return true;
}

function applyAssignment(word: string, state: EnvState): boolean {
  if (!/^[A-Za-z_]\w*=/u.test(word)) return false;
  state.env.set(word.slice(0, word.indexOf('=')), afterEquals(word));
  return true;
}

function afterEquals(word: string): string {
  return word.slice(word.indexOf('=') + 1);
}
