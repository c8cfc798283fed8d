import { parseBoundedJson } from '../../../util/json-bounds.ts';
import { isObject } from '../../../util/json.ts';
import { type Buildpacks, type Follower, type Process, whichPath } from '../follower.ts';
import { baseName, type Invocation, joinPath } from '../invocation.ts';
import { launchLayers } from './buildpacks-environment.ts';

/** The label of an image that lists its processes and buildpacks, as JSON. */
const metadataLabel = 'io.buildpacks.build.metadata';
const longest = 256 * 1024;
/** The launcher runs texts by it. */
const shell = '/bin/bash';
const bounds = { depth: 64, values: 50_000 };

/** Reports whether an invocation runs Buildpacks' launcher. */
export const isBuildpacksLauncher = (program: string): boolean =>
  program.startsWith('/cnb/process/') || program === '/cnb/lifecycle/launcher';

/** A command line that is no process of the image has no type. */
type Launch = Pick<Process, 'type' | 'workingDir'> & { readonly argv: readonly string[] };

/**
 * Returns what Buildpacks' launcher ends in; undefined if no process of the image tells it
 * (https://github.com/buildpacks/spec/blob/main/platform.md, "launcher").
 */
function launchFor({ argv, env }: Invocation, processes: readonly Process[]): Launch | undefined {
  const [program = '', ...words] = argv;
  const isNamed = program.startsWith('/cnb/process/');
  const type = isNamed ? baseName(program) : words.length === 0 ? (env.get('CNB_PROCESS_TYPE') ?? '') : '';
  if (isNamed || words.length === 0) {
    const process = processes.find((one) => one.type === type) ?? (isNamed ? undefined : defaultOf(processes));
    return process && { ...process, argv: commandOf(process, words) };
  }
  const [first = '', ...rest] = words;
  const own = { type: undefined, workingDir: undefined };
  if (first === '--') return { ...own, argv: rest };
  const process = processes.find((one) => one.type === first);
  return process ? { ...process, argv: commandOf(process, rest) } : { ...own, argv: [shell, '-c', words.join(' ')] };
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
  if (given.length === 0 || /\s/u.test(text)) return [shell, '-c', text, ...given];
  return [shell, '-c', `exec ${[text, ...given].map(expanded).join(' ')}`];
}

const expanded = (word: string): string => `"${word.replaceAll(/["`]/gu, String.raw`\$&`)}"`;

/** Returns what an image's labels tell; nothing if they list nothing, or too much. */
export function buildpacksOf(labels: Readonly<Record<string, string>>): Omit<Buildpacks, 'layers'> {
  const { [metadataLabel]: label = '' } = labels;
  const parsed = label.length > longest ? undefined : parseBoundedJson(Buffer.from(label), bounds);
  const listed = (name: string): readonly Record<string, unknown>[] => {
    const list: unknown = isObject(parsed) ? parsed[name] : undefined;
    return Array.isArray(list) ? list.filter(isObject) : [];
  };
  return {
    processes: listed('processes').map((process) => processOf((name) => process[name], process['direct'] === true)),
    directories: listed('buildpacks').map(({ id }) => directoryOf(id)),
  };
}

function processOf(value: (name: string) => unknown, direct: boolean): Process {
  const [type, command, workingDir] = [value('type'), value('command'), value('working-dir')];
  return {
    type: typeof type === 'string' ? type : undefined,
    command: typeof command === 'string' ? [command] : texts(command),
    args: texts(value('args')),
    direct,
    isDefault: value('default') === true,
    workingDir: typeof workingDir === 'string' && workingDir !== '' ? workingDir : undefined,
  };
}

/** Returns a buildpack's directory below `/layers` (https://github.com/buildpacks/spec/blob/main/buildpack.md, "Layers"). */
const directoryOf = (id: unknown): string => (typeof id === 'string' ? id.replaceAll('/', '_') : '');

/** The file that the launcher itself reads, below `$CNB_LAYERS_DIR`. */
const metadataFile = 'config/metadata.toml';

/** Returns what the launcher's own file tells; nothing if it lists nothing that can be read. */
function buildpacksInFile(toml: string): Omit<Buildpacks, 'layers'> {
  const text = toml.slice(0, longest);
  return {
    processes: tablesOf(text, /^[ \t]{0,80}\[\[processes\]\][ \t]{0,80}$/mu).map((value) =>
      processOf(value, value('direct') === true || (value('direct') !== false && typeof value('command') !== 'string')),
    ),
    directories: tablesOf(text, /^[ \t]{0,80}\[\[buildpacks\]\][ \t]{0,80}$/mu).map((value) =>
      directoryOf(value('id')),
    ),
  };
}

/** Returns a reader of the keys of each table that has this head. */
function tablesOf(toml: string, head: RegExp): readonly ((name: string) => unknown)[] {
  const [, ...tables] = toml.split(head);
  return tables.map((table) => {
    const own = table.split(/^[ \t]{0,80}\[/mu, 1)[0] ?? '';
    return (name) => {
      const text = new RegExp(String.raw`^[ \t]*${name}[ \t]*=[ \t]*(\S[^\n]*)$`, 'mu').exec(own)?.[1] ?? '';
      return parseBoundedJson(Buffer.from(text.trim()), bounds);
    };
  });
}

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];

/** Returns the process that Buildpacks' launcher ends in, as it starts it; undefined if nothing tells it. */
export function buildpacksInvocation(follower: Follower, invocation: Invocation): Invocation | undefined {
  const { env } = invocation;
  const root = env.get('CNB_LAYERS_DIR') ?? '/layers';
  const { processes, directories } = buildpacksIn(follower, root);
  const launch = launchFor(invocation, processes);
  if (launch === undefined || launch.argv.length === 0) return undefined;
  const isText = launch.argv[0] === shell;
  const place = { root, buildpacks: directories, type: launch.type ?? '', isText };
  const { profiles, ...layers } = launchLayers(follower, launchEnv(env), place);
  const app = env.get('CNB_APP_DIR') ?? '/workspace';
  const directory = joinPath(app, launch.workingDir ?? '');
  const [name = ''] = launch.argv;
  // A layer that nothing tells of may have a program of this name: it comes before all others in PATH.
  const first =
    layers.isReached || name.includes('/')
      ? root
      : whichPath(follower.files, { argv: [name], env: layers.env, directory });
  if (first?.startsWith(root) !== true) return undefined;
  const files = isText ? [...profiles, ...profileOf(follower, app)] : profiles;
  return {
    ...invocation,
    argv: withProfiles(launch.argv, files, directory),
    env: layers.env,
    openEnv: invocation.openEnv || layers.isOpen,
    directory,
    direct: false,
  };
}

/** The application's own, which bash reads last. */
function profileOf({ files }: Follower, app: string): readonly string[] {
  const profile = joinPath(app, '.profile');
  return files.at(profile, true).type === 'file' ? [profile] : [];
}

function buildpacksIn({ files, buildpacks }: Follower, root: string): Omit<Buildpacks, 'layers'> {
  if (buildpacks.processes.length > 0) return buildpacks;
  const file = files.at(`${root}/${metadataFile}`, true);
  return file.type === 'file' && file.text !== undefined ? buildpacksInFile(file.text) : buildpacks;
}

/** The launcher's own variables and directories are not handed on. */
function launchEnv(given: Invocation['env']): Invocation['env'] {
  const env = new Map(
    [...given].filter(([name]) => !/^CNB_(?:LAYERS_DIR|APP_DIR|PROCESS_TYPE|PLATFORM_API)$/u.test(name)),
  );
  const own = /^\/cnb\/(?:process|lifecycle)$/u;
  const path = (env.get('PATH') ?? '').split(':').filter((directory) => !own.test(directory));
  return env.set('PATH', path.join(':'));
}

/** Returns a command line of bash that first reads files, then changes to the process's directory. */
function withProfiles(argv: readonly string[], files: readonly string[], directory: string): readonly string[] {
  const [program, option = '', text = '', ...words] = argv;
  if (program !== shell) return argv;
  return [shell, option, [...files.map((path) => `. "${path}"`), `cd "${directory}"`, text].join('\n'), ...words];
}
