import type { ImageConfig } from '../../detection/image-source.ts';
import { replaceWithin } from '../../util/text.ts';
import { shellCommand } from './shell.ts';
import { wrapperOf } from './wrappers.ts';

/** A program to run, as far as the command line alone tells. */
export interface Invocation {
  /** The program's name or path, then its arguments. */
  readonly argv: readonly string[];
  /** The environment in which it is looked up. */
  readonly env: ReadonlyMap<string, string>;
  /** Working directory, absolute. */
  readonly directory: string;
  /** The dynamic loader that the command line calls to run it; its libc counts then, not the program's interpreter. */
  readonly loader?: string;
  /** It is one of several commands of a shell; the others may resolve names too. */
  readonly oneOfSeveral: boolean;
  /** A word, or all of them, are longer than a kernel takes once variables are expanded. `argv` is empty then. */
  readonly tooLong?: true;
}

/** The PATH if the environment has none (default of runc and Docker). */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const maxWrappers = 12;
const maxWords = 1024;
// Characters of one word (Linux include/uapi/linux/binfmts.h, MAX_ARG_STRLEN), and of all that variables expand to.
const maxWord = 128 * 1024;
const maxExpanded = 512 * 1024;
const maxPath = 4096;

/**
 * Returns the words that a container runs; empty if neither Pod nor image names any. A Pod's `command` replaces the
 * image's Entrypoint and Cmd, `args` alone replaces Cmd (Kubernetes, "Define a Command and Arguments for a Container").
 */
export function containerArgv(
  config: Pick<ImageConfig, 'entrypoint' | 'cmd'>,
  pod: { readonly command: readonly string[]; readonly args: readonly string[] },
): readonly string[] {
  const words = pod.command.length > 0 ? pod.command : config.entrypoint;
  const rest = pod.args.length > 0 || pod.command.length > 0 ? pod.args : config.cmd;
  return [...words, ...rest].slice(0, maxWords);
}

/** Returns the invocation as the container runtime makes it, wrappers included. The Pod's variables win over the image's. */
export function firstInvocation(
  argv: readonly string[],
  config: Pick<ImageConfig, 'env' | 'workingDir'>,
  podEnv: Readonly<Record<string, string>> = {},
): Invocation {
  const env = new Map<string, string>();
  for (const line of config.env.slice(0, maxWords)) {
    const equals = line.indexOf('=');
    if (equals > 0) env.set(line.slice(0, equals), line.slice(equals + 1));
  }
  for (const [name, value] of Object.entries(podEnv)) env.set(name, value);
  const directory = config.workingDir.startsWith('/') ? config.workingDir : `/${config.workingDir}`;
  const expanded = expandAll(argv, env);
  if (expanded === undefined) return { argv: [], env, directory, oneOfSeveral: false, tooLong: true };
  return { argv: expanded, env, directory, oneOfSeveral: false };
}

/**
 * Looks through init programs, `env`, `gosu` and the like, dynamic loaders called by name, and `sh -c`, to the program
 * that stays. Stops at the shell if its text cannot be followed.
 */
export function lookThrough(invocation: Invocation): Invocation {
  let current = invocation;
  for (let depth = 0; depth < maxWrappers; depth += 1) {
    const next = lookThroughOnce(current);
    if (next === undefined || next.argv.length === 0) return current;
    current = next;
  }
  return current;
}

function lookThroughOnce(current: Invocation): Invocation | undefined {
  const [program = '', ...words] = current.argv;
  const name = baseName(program);
  const wrapper = wrapperOf(name);
  if (wrapper !== undefined) {
    const inner = wrapper(words, current.env);
    if (inner === undefined) return undefined;
    const loader = inner.isLoader === true ? program : current.loader;
    return {
      ...current,
      argv: inner.argv,
      ...(inner.env !== undefined && { env: inner.env }),
      ...(inner.directory !== undefined && { directory: inner.directory }),
      ...(loader !== undefined && { loader }),
    };
  }
  if (!isShell(name)) return undefined;
  const command = shellCommand(words, current.env);
  if (command === undefined) return undefined;
  return {
    ...current,
    argv: command.argv,
    directory: command.directory === undefined ? current.directory : joinPath(current.directory, command.directory),
    oneOfSeveral: current.oneOfSeveral || command.oneOfSeveral,
  };
}

/**
 * Returns the paths to try for a program, in order: its own if it has a slash, else one for each directory of PATH
 * (execvp(3)).
 */
export function candidatePaths(invocation: Invocation): readonly string[] {
  const [program = ''] = invocation.argv;
  // The kernel takes no longer path (include/uapi/linux/limits.h, PATH_MAX).
  if (program === '' || program.length > maxPath) return [];
  if (program.includes('/')) return [joinPath(invocation.directory, program)];
  const path = invocation.env.get('PATH') ?? defaultPath;
  const directories = path.split(':', 32).filter((directory) => directory.length <= maxPath);
  return [...new Set(directories.map((directory) => joinPath(joinPath(invocation.directory, directory), program)))];
}

/** Reports whether a program of this name is a Unix shell. */
export function isShell(name: string): boolean {
  return /^(?:ba|da|a|k|z|mk)?sh$/u.test(name);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Resolves `path` against `directory`. */
export function joinPath(directory: string, path: string): string {
  return path.startsWith('/') ? path : `${directory.replace(/\/$/u, '')}/${path}`;
}

// The kubelet replaces $(NAME) in command and args, and leaves unknown names as they are
// (third_party/forked/golang/expansion).
function expandAll(argv: readonly string[], env: ReadonlyMap<string, string>): readonly string[] | undefined {
  const words: string[] = [];
  let total = 0;
  for (const word of argv) {
    const expanded = replaceWithin(word, /\$\((\w+)\)/gu, maxWord, ([whole, name = '']) => env.get(name) ?? whole);
    if (expanded === undefined) return undefined;
    if (expanded !== word) total += expanded.length;
    if (total > maxExpanded) return undefined;
    words.push(expanded);
  }
  return words;
}
