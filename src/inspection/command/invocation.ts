import { replaceWithin } from '../../util/text.ts';
import type { ImageConfig } from '../../detection/image-source.ts';
import { isKnown, UNKNOWN, withoutMarks } from '../shell/run/values.ts';

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
  /** Variables that `env` lacks may be set: by a ConfigMap, or by a directory of files. */
  readonly openEnv: boolean;
  /** The user's number; unknown text if it cannot be told. */
  readonly uid: string;
  /** A word, or all of them, are longer than a kernel takes once variables are expanded. `argv` is empty then. */
  readonly tooLong?: true;
  /** The directory that stands for `/`, absolute: `chroot` was run before. */
  readonly root?: string;
  /** The first word of the command line names it. */
  readonly direct?: boolean;
  /** What a shell gives it to read on standard input, unknown text included; undefined if it is the container's own. */
  readonly input?: string | undefined;
}

/** The PATH if the environment has none (default of runc and Docker). */
export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const maxWords = 1024;
// Characters of one word (Linux include/uapi/linux/binfmts.h, MAX_ARG_STRLEN), and of all that variables expand to.
const maxWord = 128 * 1024;
const maxExpanded = 512 * 1024;
const maxPath = 4096;

/** What a Pod's container says about how its image is run. */
export interface PodRun {
  readonly command: readonly string[];
  readonly args: readonly string[];
  /** The values of `env` that the Pod itself gives. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Names in `env` whose value comes from elsewhere (`valueFrom`). */
  readonly envElsewhere?: readonly string[] | undefined;
  /** There is an `envFrom`: any variable may have been given a value. */
  readonly envFrom?: boolean | undefined;
  readonly workingDir?: string | undefined;
  /** `runAsUser`. */
  readonly user?: string | undefined;
}

type RunConfig = Pick<ImageConfig, 'entrypoint' | 'cmd' | 'env' | 'workingDir' | 'user'>;

/**
 * Returns what the container runtime starts, wrappers included; `argv` is empty if neither Pod nor image names anything. A
 * Pod's `command` replaces the image's Entrypoint and Cmd, `args` alone replaces Cmd (Kubernetes, "Define a Command and
 * Arguments for a Container").
 */
export function firstInvocation(config: RunConfig, pod: PodRun): Invocation {
  const given = givenVariables(pod);
  const own = expandAll(safe([...pod.command, ...pod.args]), given);
  const isReplaced = pod.args.length > 0 || pod.command.length > 0;
  const words = [...(pod.command.length > 0 ? [] : config.entrypoint), ...(isReplaced ? [] : config.cmd)];
  const directory = pod.workingDir ?? config.workingDir;
  return {
    argv: own === undefined ? [] : [...safe(words), ...own],
    ...(own === undefined && { tooLong: true }),
    env: environment(config, pod, given),
    directory: directory.startsWith('/') ? directory : `/${directory}`,
    openEnv: pod.envFrom === true,
    uid: uidOf(pod.user ?? config.user),
    direct: true,
  };
}

/** Returns the Pod's own variables; those from elsewhere have a value that is not known. */
function givenVariables({ env = {}, envElsewhere = [] }: PodRun): ReadonlyMap<string, string> {
  const given = new Map<string, string>(envElsewhere.map((name) => [name, UNKNOWN]));
  for (const [name, value] of Object.entries(env)) {
    // A value may name other variables; the kubelet knows those before it, and we do not know their order among all.
    const [expanded] = expandAll([withoutMarks(value)], given) ?? [UNKNOWN];
    given.set(name, expanded ?? UNKNOWN);
  }
  return given;
}

function environment(config: RunConfig, pod: PodRun, given: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const env = new Map<string, string>();
  for (const line of config.env.slice(0, maxWords)) {
    const equals = line.indexOf('=');
    if (equals < 1) continue;
    const name = line.slice(0, equals);
    env.set(name, pod.envFrom === true && !isOfImage(name) ? UNKNOWN : withoutMarks(line.slice(equals + 1)));
  }
  for (const [name, value] of given) env.set(name, value);
  return env;
}

// Where the image's own files are: a ConfigMap that changes these breaks the container.
const isOfImage = (name: string): boolean => /^PATH$|_HOME$|_VERSION$|_ROOT$/u.test(name);

const safe = (words: readonly string[]): readonly string[] => words.slice(0, maxWords).map(withoutMarks);

/** Returns the number that scripts ask for. Of names only root's is known, and none but root's matters. */
export function uidOf(user: string | undefined): string {
  const [name = ''] = (user ?? '').split(':', 1);
  if (name === '' || name === 'root') return '0';
  return /^\d+$/u.test(name) ? name : '1000';
}

/** The parts of an invocation that say where its program is. */
export type Place = Pick<Invocation, 'argv' | 'env' | 'directory' | 'root'>;

/**
 * Returns the paths to try for a program, in order: its own if it has a slash, else one for each directory of PATH
 * (execvp(3)).
 */
export function candidatePaths(invocation: Place): readonly string[] {
  const [program = ''] = invocation.argv;
  // The kernel takes no longer path (include/uapi/linux/limits.h, PATH_MAX).
  if (program === '' || program.length > maxPath || invocation.directory.length > maxPath) return [];
  if (program.includes('/')) return [joinPath(invocation.directory, program)];
  const path = invocation.env.get('PATH') ?? defaultPath;
  const directories = path.split(':', 64).filter((directory) => isKnown(directory) && directory.length <= maxPath);
  return [...new Set(directories.map((directory) => joinPath(joinPath(invocation.directory, directory), program)))];
}

/** Reports whether a program of this name is a Unix shell. */
export function isShell(name: string): boolean {
  return /^(?:ba|da|a|k|z|mk)?sh$/u.test(name);
}

// Words that an image's own program may well have as its name.
const commonWord = /^(?:watch|script|time|task|make|just|sg|cd|phase|entr|reflex|monit|summon|teller|vals|nice)$/u;
// Of these the tools are written in C.
const commonInC = /^(?:watch|script|time|make|sg|cd|entr|nice)$/u;

/** Reports whether a tool written in C has this name, and other programs may well have it, too. */
export const isCommonWord = (name: string): boolean => commonInC.test(name);

/** Returns the name by which the tables know a tool; empty for a common word outside the directories of programs. */
export function toolName(program: string): string {
  const name = baseName(program);
  const isElsewhere = program.includes('/') && !/(?:^|\/)s?bin\/[^/]+$/u.test(program);
  return isElsewhere && commonWord.test(name) ? '' : name;
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Resolves `path` against `directory`. */
export function joinPath(directory: string, path: string): string {
  return path.startsWith('/') ? path : `${directory.replace(/\/$/u, '')}/${path}`;
}

// The kubelet replaces $(NAME) in the Pod's own command and args by the Pod's own variables, and leaves other names as they
// are; $$(NAME) stands for $(NAME) (third_party/forked/golang/expansion).
function expandAll(argv: readonly string[], env: ReadonlyMap<string, string>): readonly string[] | undefined {
  const words: string[] = [];
  let total = 0;
  for (const word of argv) {
    const expanded = replaceWithin(word, /\$\$|\$\(([\w.-]+)\)/gu, maxWord, ([whole, name]) =>
      name === undefined ? '$' : (env.get(name) ?? whole),
    );
    if (expanded === undefined) return undefined;
    if (expanded !== word) total += expanded.length;
    if (total > maxExpanded) return undefined;
    words.push(expanded);
  }
  return words;
}
