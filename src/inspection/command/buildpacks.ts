import { parseBoundedJson } from '../../util/json-bounds.ts';
import { isObject } from '../../util/json.ts';
import { type Follower, listCost, type Process } from './follower.ts';
import { baseName, type Invocation } from './invocation.ts';

/** The label of an image that lists its processes, as JSON. */
const processesLabel = 'io.buildpacks.build.metadata';
const longest = 256 * 1024;
const bounds = { depth: 64, values: 50_000 };

/** Reports whether an invocation runs Buildpacks' launcher. */
export const isBuildpacksLauncher = (program: string): boolean =>
  program.startsWith('/cnb/process/') || program === '/cnb/lifecycle/launcher';

/**
 * Returns the command line that Buildpacks' launcher ends in; undefined if the image's label does not tell it
 * (https://github.com/buildpacks/spec/blob/main/platform.md, "launcher").
 */
function buildpacksCommand({ argv, env }: Invocation, processes: readonly Process[]): readonly string[] | undefined {
  const [program = '', ...words] = argv;
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

/**
 * https://github.com/buildpacks/lifecycle/blob/main/launch/bash.go: a command that is not direct is a text for bash if it has no
 * arguments; else bash expands each word. With blanks in the command, the rules of old buildpacks hold: it is a text, too.
 */
function commandOf({ command, args, direct }: Process, words: readonly string[]): readonly string[] {
  if (direct) return [...command, ...(words.length > 0 ? words : args)];
  const [text = '', ...others] = command;
  const given = [...others, ...args, ...words];
  if (given.length === 0 || /\s/u.test(text)) return ['bash', '-c', text, ...given];
  return ['bash', '-c', `exec ${[text, ...given].map(expanded).join(' ')}`];
}

const expanded = (word: string): string => `"${word.replaceAll(/["`]/gu, String.raw`\$&`)}"`;

/** Returns the processes that an image's labels list; empty if they list nothing, or too much. */
export function buildpacksProcesses(labels: Readonly<Record<string, string>>): readonly Process[] {
  const { [processesLabel]: label = '' } = labels;
  const parsed = label.length > longest ? undefined : parseBoundedJson(Buffer.from(label), bounds);
  const processes: unknown = isObject(parsed) ? parsed['processes'] : undefined;
  if (!Array.isArray(processes)) return [];
  return processes.filter(isObject).map((process) => {
    const { type, command } = process;
    return {
      type: typeof type === 'string' ? type : undefined,
      command: typeof command === 'string' ? [command] : texts(command),
      args: texts(process['args']),
      direct: process['direct'] === true,
      isDefault: process['default'] === true,
    };
  });
}

/** The file that the launcher itself reads, below `$CNB_LAYERS_DIR`. */
const processesFile = 'config/metadata.toml';

/** Returns the processes that the launcher's own file lists; empty if it lists none that can be read. */
function processesInFile(toml: string): readonly Process[] {
  const [, ...tables] = toml.slice(0, longest).split(/^[ \t]{0,80}\[\[processes\]\][ \t]{0,80}$/mu);
  return tables.map((table) => {
    const own = table.split(/^[ \t]{0,80}\[/mu, 1)[0] ?? '';
    const value = (name: string): unknown => {
      const text = new RegExp(String.raw`^[ \t]*${name}[ \t]*=[ \t]*(\S[^\n]*)$`, 'mu').exec(own)?.[1] ?? '';
      return parseBoundedJson(Buffer.from(text.trim()), bounds);
    };
    const [type, command] = [value('type'), value('command')];
    return {
      type: typeof type === 'string' ? type : undefined,
      command: typeof command === 'string' ? [command] : texts(command),
      args: texts(value('args')),
      direct: value('direct') === true || typeof command !== 'string',
      isDefault: value('default') === true,
    };
  });
}

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];

/**
 * Returns the process that Buildpacks' launcher ends in; undefined if nothing tells it. The launcher puts the layers' own
 * directories in front of PATH.
 */
export function buildpacksInvocation(follower: Follower, invocation: Invocation): Invocation | undefined {
  const argv = buildpacksCommand(invocation, processesOf(follower, invocation));
  if (argv === undefined || argv.length === 0) return undefined;
  follower.spend(listCost);
  const { paths } = follower.files.list('/layers', `/bin/${argv[0]}`);
  const added = paths.filter((path) => path.split('/').length === 6);
  const path = [...added.map((one) => one.slice(0, one.lastIndexOf('/'))), invocation.env.get('PATH') ?? ''].join(':');
  const env = new Map([...invocation.env, ['PATH', path]]);
  return { ...invocation, argv: withProfiles(follower, argv), env, direct: false };
}

function processesOf({ files, processes }: Follower, { env }: Invocation): readonly Process[] {
  if (processes.length > 0) return processes;
  const file = files.at(`${env.get('CNB_LAYERS_DIR') ?? '/layers'}/${processesFile}`, true);
  return file.type === 'file' && file.text !== undefined ? processesInFile(file.text) : [];
}

/** Returns a command line of bash that first reads what buildpacks give for that. */
function withProfiles({ files }: Follower, argv: readonly string[]): readonly string[] {
  const [shell = '', option = '', text = '', ...words] = argv;
  if (shell !== 'bash' || option !== '-c') return argv;
  const profiles = files
    .list('/layers', '.sh')
    .paths.filter((path) => /^(?:\/[^/]+){3}\/profile\.d\/[\w.-]+$/u.test(path));
  return [shell, option, [...profiles.map((path) => `. "${path}"`), text].join('\n'), ...words];
}
