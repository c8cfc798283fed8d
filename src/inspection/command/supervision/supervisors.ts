import { splitWords } from '../../shell/parse.ts';
import { UNKNOWN } from '../../shell/run/values.ts';
import { baseName, type Invocation, joinPath, toolName } from '../invocation.ts';
import { readCron, readSupercronic } from './cron.ts';
import { chainOf, readExecline } from './execline.ts';
import {
  hasS6,
  readMyInit,
  readRunit,
  readRunsvdir,
  readRunsvdirStart,
  readS6,
  type Services,
  type Surroundings,
} from './services.ts';

type Supervisor = (invocation: Invocation, around: Surroundings) => Services | undefined;

const unread = (name: string): Services => ({
  commands: [],
  before: [],
  missing: `${name}: starts services that are not followed`,
});

const supervisors: Readonly<Record<string, Supervisor>> = {
  supervisord: readSupervisord,
  runsvdir: readRunsvdir,
  svscan: readRunsvdir,
  's6-svscan': readRunsvdir,
  'runsvdir-start': readRunsvdirStart,
  runit: readRunit,
  'runit-init': readRunit,
  my_init: readMyInit,
  hivemind: readProcfile,
  overmind: readProcfile,
  goreman: readProcfile,
  honcho: readProcfile,
  foreman: readProcfile,
  forego: readProcfile,
  execlineb: readScript,
  multirun: ({ argv }) => ({
    commands: argv
      .slice(1)
      .filter((word) => !word.startsWith('-'))
      .map((word) => splitWords(word)),
    before: [],
    missing: undefined,
  }),
  // The directory's `run` is the service.
  runsv: ({ argv, directory }) => ({
    commands: [[joinPath(directory, `${argv.at(-1) ?? ''}/run`)]],
    before: [],
    missing: undefined,
  }),
  's6-supervise': ({ argv, directory }) => ({
    commands: [[joinPath(directory, `${argv.at(-1) ?? ''}/run`)]],
    before: [],
    missing: undefined,
  }),
  circusd: (invocation, around) => readConfigured(invocation, around, circus),
  horust: (invocation, around) => readConfigured(invocation, around, horust),
  dinit: (invocation, around) => readConfigured(invocation, around, dinit),
  // Its other commands start nothing. An ACME server is called so, too.
  pebble: (invocation, around) =>
    /^(?:run|enter)$/u.test(invocation.argv[1] ?? '') ? readConfigured(invocation, around, pebble) : undefined,
  'process-compose': (invocation, around) => readConfigured(invocation, around, processCompose),
  cron: readCron,
  crond: readCron,
  supercronic: readSupercronic,
  // Its other commands start no workers. It serves HTTP itself.
  rr: (invocation, around) =>
    invocation.argv.includes('serve') ? { ...readConfigured(invocation, around, roadRunner), isOne: true } : undefined,
  fwatchdog: readWatchdog,
  'of-watchdog': readWatchdog,
};

// They start what their files name. s6-overlay ships static musl programs on every distribution.
const others =
  /^(?:s6-(?:linux-init|rc-init)|svscanboot|systemd|monit|openrc|openrc-init|initool|just|make|task|mprocs|concurrently)$/u;

/** Returns the services of a supervisor; undefined for any other program. */
export function servicesOf(invocation: Invocation, around: Surroundings): Services | undefined {
  const [program = ''] = invocation.argv;
  const name = toolName(program);
  const supervisor = Object.hasOwn(supervisors, name) ? supervisors[name] : undefined;
  if (supervisor !== undefined) return supervisor(invocation, around);
  const isS6 = name === 'preinit' || program.startsWith('/package/admin/s6-overlay');
  if (isS6 || (name === 'init' && hasS6(around))) return readS6(invocation, around);
  const chain = chainOf(invocation);
  if (chain !== undefined) {
    const { next, beside, before } = chain;
    return { commands: [...(next.length === 0 ? [] : [next]), ...beside], before, missing: undefined };
  }
  return others.test(name) ? unread(name) : undefined;
}

// https://github.com/openfaas/of-watchdog: it serves HTTP itself, and starts the function that `fprocess` names.
function readWatchdog({ argv, env }: Invocation): Services {
  const command = splitWords(env.get('fprocess') ?? env.get('function_process') ?? '');
  const missing = `${baseName(argv[0] ?? '')}: the function that it starts is not named`;
  return {
    commands: [command].filter((words) => words.length > 0),
    before: [],
    missing: command.length > 0 ? undefined : missing,
    isOne: true,
  };
}

/** execlineb [options] FILE [ARGUMENT…], or -c TEXT. */
function readScript({ argv, directory }: Invocation, around: Surroundings): Services {
  const words = argv.slice(1);
  const at = words.findIndex((word) => !/^-(?!c$)/u.test(word));
  const isText = words[at] === '-c';
  const text = isText ? words[at + 1] : around.text(joinPath(directory, words[at] ?? ''));
  if (text === undefined) return unread('execlineb');
  const command = readExecline(text, words.slice(at + (isText ? 2 : 1)));
  return command.length === 0 ? unread('execlineb') : { commands: [command], before: [], missing: undefined };
}

// https://supervisord.org/configuration.html: the first of these files that exists.
const supervisordFiles = [
  'supervisord.conf',
  'etc/supervisord.conf',
  '/etc/supervisord.conf',
  '/etc/supervisor/supervisord.conf',
];
const mostFiles = 64;

function readSupervisord({ argv, env, directory }: Invocation, around: Surroundings): Services {
  const [given] = configured(argv);
  const paths = (given === undefined ? supervisordFiles : [given]).map((path) => joinPath(directory, path));
  const chosen = paths.find((path) => around.text(path) !== undefined);
  const text = chosen === undefined ? undefined : around.text(chosen);
  if (chosen === undefined || text === undefined) return unread('supervisord');
  const commands = [...programsIn(text, env)];
  let missing: string | undefined;
  for (const pattern of includesIn(text)) {
    const found = matching(pattern, chosen, around);
    if (!found.complete) missing = `supervisord: ${pattern} is not all read`;
    for (const path of found.paths.slice(0, mostFiles)) {
      const included = around.text(path);
      if (included === undefined) missing = `supervisord: ${path} is out of reach`;
      else commands.push(...programsIn(included, env));
    }
  }
  return commands.length === 0 && missing === undefined ? unread('supervisord') : { commands, before: [], missing };
}

function configured(argv: readonly string[]): readonly string[] {
  const at = argv.findIndex((word) => /^(?:-c|--configuration)$/u.test(word));
  const joined = argv.map((word) => /^(?:--configuration=|-c)(?<path>.+)$/u.exec(word)?.groups?.['path']);
  return [at === -1 ? undefined : argv[at + 1], ...joined].filter((path) => path !== undefined);
}

function* programsIn(text: string, env: Invocation['env']): Generator<readonly string[]> {
  let inProgram = false;
  for (const line of text.split('\n').slice(0, 2000)) {
    if (line.startsWith('[')) inProgram = /^\[(?:program|fcgi-program|eventlistener):/u.test(line);
    const command = inProgram ? /^command\s*[=:]\s*(?<words>.*?)(?:\s;.*)?$/u.exec(line)?.groups?.['words'] : undefined;
    // https://supervisord.org/configuration.html: `%(ENV_NAME)s` is a variable.
    const expanded = command?.replaceAll(/%\(ENV_(\w{1,100})\)[sd]/gu, (_, name: string) => env.get(name) ?? UNKNOWN);
    if (expanded !== undefined) yield splitWords(expanded.replaceAll(/%\(\w{1,100}\)[sd]/gu, UNKNOWN));
  }
}

function includesIn(text: string): readonly string[] {
  const section = /^\[include\]$(?<lines>[^[]*)/mu.exec(text)?.groups?.['lines'] ?? '';
  const files = /^files\s*[=:]\s*(?<files>.*)$/mu.exec(section)?.groups?.['files'] ?? '';
  return files.split(/\s+/u).filter(Boolean).slice(0, 8);
}

function matching(pattern: string, from: string, around: Surroundings): ReturnType<Surroundings['files']> {
  const path = joinPath(from.slice(0, from.lastIndexOf('/')) || '/', pattern);
  const slash = path.lastIndexOf('/');
  const [directory, name] = [path.slice(0, slash), path.slice(slash + 1)];
  if (!name.includes('*')) return { paths: [path], complete: true };
  if (!/^\*[^*?[\]]*$/u.test(name) || /[*?[]/u.test(directory)) return { paths: [], complete: false };
  return around.files(directory, name.slice(1));
}

/** How a supervisor's files say what it starts: one line for each service. */
interface Configured {
  /** Options that name a file or directory; empty: the last word does. */
  readonly options: readonly string[];
  /** Files, or directories that end with `/`, if nothing is named. */
  readonly places: readonly string[];
  /** How the names of a directory's files end. */
  readonly end: string;
  readonly command: RegExp;
  /** A shell runs the commands. */
  readonly byShell?: true;
}

// https://circus.readthedocs.io/en/latest/configuration
const circus: Configured = { options: [], places: [], end: '.ini', command: /^cmd\s*=\s*(.+)$/gmu };
// https://github.com/FedericoPonzi/Horust/blob/master/DOCUMENTATION.md
const horust: Configured = {
  options: ['--services-path'],
  places: ['/etc/horust/services/'],
  end: '.toml',
  command: /^command\s*=\s*"(.+)"/gmu,
};
// https://davmac.org/projects/dinit/man-pages-html/dinit-service.5.html
const dinit: Configured = {
  options: ['-d', '--services-dir'],
  places: ['/etc/dinit.d/'],
  end: '',
  command: /^command\s*=\s*(.+)$/gmu,
};
// https://documentation.ubuntu.com/pebble/reference/layer-specification
const pebble: Configured = {
  options: [],
  places: ['/var/lib/pebble/default/layers/'],
  end: '.yaml',
  command: /^[ \t]+command:[ \t]*([^|>\s].*)$/gmu,
};
// https://f1bonacc1.github.io/process-compose/configuration
const processCompose: Configured = {
  options: ['-f', '--config'],
  places: ['process-compose.yaml', 'process-compose.yml', 'compose.yaml', 'compose.yml'],
  end: '.yaml',
  command: /^[ \t]+command:[ \t]*([^|>\s].*)$/gmu,
  byShell: true,
};

// https://docs.roadrunner.dev/docs/php-worker/worker
const roadRunner: Configured = {
  options: ['-c', '--config'],
  places: ['.rr.yaml'],
  end: '.yaml',
  command: /^[ \t]+command:[ \t]*([^|>\s].*)$/gmu,
};

function readConfigured({ argv, directory }: Invocation, around: Surroundings, how: Configured): Services {
  const [program = '', ...words] = argv;
  const named = how.options.flatMap((option) =>
    words.flatMap((word, at) =>
      word === option ? [words[at + 1] ?? ''] : word.startsWith(`${option}=`) ? [word.slice(option.length + 1)] : [],
    ),
  );
  const operand =
    how.options.length === 0 && how.places.length === 0 ? words.filter((word) => !word.startsWith('-')).slice(-1) : [];
  const given = [...named, ...operand];
  const places = (given.length > 0 ? given : how.places).map((place) => joinPath(directory, place));
  const files = places.flatMap((place) => {
    const found = around.files(place.replace(/\/$/u, ''), how.end);
    return found.paths.length > 0 ? found.paths : [place];
  });
  const texts = files.slice(0, mostFiles).map((path) => around.text(path) ?? '');
  const lines = texts.flatMap((text) => Array.from(text.matchAll(how.command), ([, line = '']) => plainScalar(line)));
  if (lines.length === 0) return unread(baseName(program));
  const commands = lines.map((line) => (how.byShell === true ? ['/bin/sh', '-c', line] : splitWords(line)));
  // YAML's block texts span lines.
  const isCut = texts.some((text) => /^[ \t]+command:[ \t]*[|>]/mu.test(text)) || commands.length > 32;
  const missing = isCut ? `${baseName(program)}: starts more than is followed` : undefined;
  return { commands: commands.slice(0, 32), before: [], missing };
}

/** Returns the text of a line's value without the quotes around it. */
const plainScalar = (line: string): string => {
  const text = line.trim();
  const [, quote = '', inside] = /^(["'])(.*)\1$/u.exec(text) ?? [];
  if (inside === undefined) return text;
  return quote === '"' ? inside.replaceAll(/\\(["\\])/gu, '$1') : inside.replaceAll("''", "'");
};

// https://devcenter.heroku.com/articles/procfile: `NAME: COMMAND`.
function readProcfile({ argv, directory }: Invocation, around: Surroundings): Services {
  const at = argv.findIndex((word) => /^(?:-f|--procfile)$/u.test(word));
  const named = argv.slice(1).filter((word) => /procfile/iu.test(word));
  const path = (at === -1 ? named.at(-1) : argv[at + 1]) ?? 'Procfile';
  const text = around.text(joinPath(directory, path));
  const lines = (text ?? '')
    .split('\n')
    .map((line) => /^[\w.-]+:\s*(?<command>\S.*)$/u.exec(line)?.groups?.['command']);
  const commands = lines.filter((line) => line !== undefined).map((line) => ['/bin/sh', '-c', line]);
  return commands.length === 0
    ? unread(baseName(argv[0] ?? ''))
    : { commands: commands.slice(0, 32), before: [], missing: undefined };
}
