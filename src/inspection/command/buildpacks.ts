import { splitWords } from '../shell/parse.ts';
import { baseName, type Invocation } from './invocation.ts';

/** The label of an image that lists its processes, as JSON. */
export const processesLabel = 'io.buildpacks.build.metadata';
const longest = 256 * 1024;

/** Reports whether an invocation runs Buildpacks' launcher. */
export const isBuildpacksLauncher = (program: string): boolean =>
  program.startsWith('/cnb/process/') || program === '/cnb/lifecycle/launcher';

interface Process {
  readonly type: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly direct: boolean;
  readonly isDefault: boolean;
}

/**
 * Returns the command line that Buildpacks' launcher ends in; undefined if the image's label does not tell it. `listed`: the
 * label's text (https://github.com/buildpacks/spec/blob/main/platform.md, "launcher").
 */
export function buildpacksCommand({ argv, env }: Invocation, listed: string): readonly string[] | undefined {
  const [program = '', ...words] = argv;
  const processes = readProcesses(listed);
  const isNamed = program.startsWith('/cnb/process/');
  const type = isNamed ? baseName(program) : words.length === 0 ? (env.get('CNB_PROCESS_TYPE') ?? '') : '';
  if (isNamed || words.length === 0) {
    const process = processes.find((one) => one.type === type) ?? (isNamed ? undefined : defaultOf(processes));
    return process && commandOf(process, words);
  }
  const [first = '', ...rest] = words;
  if (first === '--') return rest;
  const process = processes.find((one) => one.type === first);
  return process ? commandOf(process, rest) : ['bash', '-c', words.join(' ')];
}

const defaultOf = (processes: readonly Process[]): Process | undefined =>
  processes.find(({ isDefault }) => isDefault) ?? processes.find(({ type }) => type === 'web');

function commandOf({ command, args, direct }: Process, words: readonly string[]): readonly string[] {
  const given = words.length > 0 ? words : args;
  if (direct) return [...command, ...given];
  return ['bash', '-c', `exec ${command.join(' ')} "$@"`, 'launcher', ...args, ...words];
}

function readProcesses(label: string): readonly Process[] {
  const parsed = label.length > longest ? undefined : parseJson(label);
  const processes: unknown = isObject(parsed) ? parsed['processes'] : undefined;
  if (!Array.isArray(processes)) return [];
  return processes.filter(isObject).map((process) => {
    const { command } = process;
    const words = typeof command === 'string' ? [command] : texts(command);
    const direct = process['direct'] === true;
    return {
      type: String(process['type']),
      command: direct || words.length !== 1 ? words : splitWords(words[0] ?? ''),
      args: texts(process['args']),
      direct,
      isDefault: process['default'] === true,
    };
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
