import { buildpacksInvocation, isBuildpacksLauncher } from './launchers/buildpacks.ts';
import { baseName, defaultPath, type Invocation, isShell, joinPath } from './invocation.ts';
import { configurationOf, execOf } from './launchers/configured.ts';
import { launchOf } from './launchers/launchers.ts';
import { type Found, hiddenProgram, type Located, nothing, type Outcome, type Program } from './outcome.ts';
import { shebangOf } from './script.ts';
import type { Services, Surroundings } from './supervision/services.ts';
import {
  addDoubts,
  askedPath,
  fileAt,
  filesBelow,
  filesMatching,
  isNamesake,
  type Follower,
  isProgram,
  listCost,
  locate,
  type Buildpacks,
  programOf,
  whichPath,
} from './follower.ts';
import { packageScript, scriptOf, startsOf } from './interpreted.ts';
import { startShell } from './shells.ts';
import { servicesOf } from './supervision/supervisors.ts';
import { interpreterOf, isInterpreterName } from './known-programs.ts';
import { mayBeProgram, operandOf } from './operands.ts';
import { throughWrapper } from './wrappers.ts';
import type { ImageFiles } from './image-files.ts';
import { normalizePath } from '../overlay.ts';
import { together } from '../shell/run/state.ts';
import { isKnown } from '../shell/run/values.ts';
import { TooLong } from '../shell/run/world.ts';

/** Steps that may be taken; all looks at one image share them. */
export interface Budget {
  left: number;
  /** Most steps of one look: 60,000 take some 100 ms. */
  readonly each?: number;
}

/** What the image's manifest and configuration say besides. */
export interface Given {
  readonly buildpacks?: Buildpacks;
  /** As Go names it. */
  readonly architecture?: string;
}

const mostCopies = 64;
const deepest = 48;
// Commands inside commands, of all shells: it bounds the stack.
const deepestCommand = 200;

/**
 * Follows a container's command line through wrappers, shells, scripts, launchers and supervisors to the programs that it may
 * run, as far as the files are known. Pure.
 */
export function follow(
  files: ImageFiles,
  first: Invocation,
  { buildpacks = { processes: [], directories: [], layers: [] }, architecture = '' }: Given,
  budget: Budget,
): Outcome {
  try {
    return createFollower(files, { buildpacks, architecture }, budget).start(first);
  } catch (error) {
    if (error instanceof TooLong)
      return { ...nothing, stays: [hiddenProgram('its scripts take too many steps to follow')] };
    throw error;
  }
}

function createFollower(files: ImageFiles, { buildpacks, architecture }: Required<Given>, budget: Budget): Follower {
  const known = new Map<string, Outcome>();
  const running = new Set<string>();
  const touched = new Set<string>();
  const changed = new Set<string>();
  const copies = new Map<string, string>();
  let steps = 0;
  let depth = 0;
  const follower: Follower = {
    files,
    buildpacks,
    architecture,
    touched,
    copies,
    at(path, wanted) {
      follower.spend(2);
      const file = fileAt(follower, path, wanted);
      return file.type === 'file' && changed.has(file.path) ? { ...file, text: undefined } : file;
    },
    change(path) {
      touched.add(path);
      changed.add(`/${normalizePath(path)}`);
    },
    which: (name, { env, directory }) => whichPath(files, { argv: [name], env, directory }),
    touch(path, source) {
      touched.add(path);
      if (source !== undefined && copies.size < mostCopies) copies.set(`/${normalizePath(path)}`, source);
    },
    matching: (pattern) => filesMatching(follower, pattern),
    below: (directory, end) => filesBelow(follower, directory, end),
    nest(work) {
      depth += 1;
      if (depth > deepestCommand) throw new TooLong('nested too deeply');
      try {
        return work();
      } finally {
        depth -= 1;
      }
    },
    spend(cost) {
      steps += cost;
      budget.left -= cost;
      if (steps > (budget.each ?? Infinity) || budget.left < 0) throw new TooLong('too many steps');
    },
    start(invocation) {
      follower.spend(4);
      const key = keyOf(invocation);
      const before = known.get(key);
      if (before !== undefined) return before;
      // A script that runs itself again is followed once: its other branches say what it runs.
      if (running.has(key)) return nothing;
      if (running.size >= deepest) return { ...nothing, stays: [hiddenProgram('its scripts are nested too deeply')] };
      running.add(key);
      const outcome = startOnce(follower, invocation);
      running.delete(key);
      known.set(key, outcome);
      return outcome;
    },
  };
  return follower;
}

const environments = new WeakMap<ReadonlyMap<string, string>, string>();

function keyOf({ argv, env, directory, uid, root, loader, openEnv, input }: Invocation): string {
  let text = environments.get(env);
  if (text === undefined) {
    text = JSON.stringify([...env]);
    environments.set(env, text);
  }
  return JSON.stringify([argv, directory, uid, root, loader, openEnv, input, text]);
}

function startOnce(follower: Follower, invocation: Invocation): Outcome {
  const [program = ''] = invocation.argv;
  const isRelative = program.includes('/') && !program.startsWith('/');
  if (!isKnown(program) || (isRelative && !isKnown(invocation.directory))) {
    return { ...nothing, stays: [hiddenProgram('a program that only the running shell knows')] };
  }
  if (program === '') return { ...nothing, stays: [programOf(follower, invocation, { status: 'absent', name: '' })] };
  return isNamesake(follower, invocation) ? startFile(follower, invocation) : startTool(follower, invocation);
}

function startTool(follower: Follower, invocation: Invocation): Outcome {
  const [program = ''] = invocation.argv;
  const inner = throughWrapper(invocation);
  if (inner !== undefined) return startInner(follower, invocation, inner);
  const supervised = startSupervised(follower, invocation);
  if (supervised !== undefined) return supervised;
  if (isBuildpacksLauncher(program)) return startBuildpacks(follower, invocation);
  const shell = isShell(baseName(program)) ? startShell(follower, invocation) : undefined;
  return (
    shell ??
    startPackageScript(follower, invocation) ??
    startLaunch(follower, invocation) ??
    startConfigured(follower, invocation) ??
    startFile(follower, invocation)
  );
}

const isThere = ({ stays }: Outcome): boolean => stays.some(({ located }) => located.status !== 'absent');

/** Follows what a wrapper runs. `sudo` takes PATH from its own configuration, mostly (sudoers(5), secure_path). */
function startInner(follower: Follower, { argv }: Invocation, inner: Invocation): Outcome {
  const outcome = follower.start(inner);
  if (baseName(argv[0] ?? '') !== 'sudo') return outcome;
  const sudoers = follower.files.at('/etc/sudoers', true);
  const path = sudoers.type === 'file' ? securePath(sudoers.text ?? '') : undefined;
  const other = follower.start({ ...inner, env: new Map([...inner.env, ['PATH', path ?? defaultPath]]) });
  if (path !== undefined) return other;
  if (!isThere(other)) return outcome;
  if (!isThere(outcome)) return other;
  return {
    stays: together(outcome.stays, other.stays),
    beside: together(outcome.beside, other.beside),
    passing: together(outcome.passing, other.passing),
  };
}

const securePath = (sudoers: string): string | undefined =>
  /^[ \t]*Defaults[ \t]+secure_path[ \t]*=[ \t]*"?([\w./:-]+)"?[ \t]*$/mu.exec(sudoers)?.[1];

const surroundings = (follower: Follower): Surroundings => ({
  text: (path) => {
    const file = follower.files.at(path, true);
    return file.type === 'file' ? file.text : undefined;
  },
  files: (directory, end) => {
    follower.spend(listCost);
    return follower.files.list(directory, end);
  },
});

function startSupervised(follower: Follower, invocation: Invocation): Outcome | undefined {
  // By this name it may be any program: its jobs say nothing of it before it is seen.
  if (invocation.argv[0] === 'cron' && locate(follower, invocation).status === 'unseen') return undefined;
  const services = servicesOf(invocation, surroundings(follower));
  return services && startServices(follower, invocation, services);
}

function startServices(follower: Follower, invocation: Invocation, services: Services): Outcome {
  const { commands, before, missing, isOne = false } = services;
  const start = (argv: readonly string[]): Outcome => follower.start({ ...invocation, argv, direct: false });
  const started = commands.map(start);
  const hidden = missing === undefined ? [] : [hiddenProgram(missing)];
  const running = started.map(({ stays }) => stays);
  // A service that the image lacks, or that only sleeps, does not count beside others.
  const working = running.filter((stays) =>
    stays.some(({ isUtility, located }) => !isUtility && located.status !== 'absent'),
  );
  const stays = [...(working.length > 0 ? working : running), hidden].reduce(together, []);
  const itself = stays.length > 0 && !isOne ? [] : [programOf(follower, invocation, locate(follower, invocation))];
  const ended = before.map(start).flatMap((one) => [one.stays, one.beside, one.passing]);
  return {
    stays: together(stays, itself),
    beside: started.map(({ beside }) => beside).reduce(together, []),
    passing: [...started.map(({ passing }) => passing), ...ended]
      .reduce(together, [])
      .filter(({ isUtility }) => !isUtility),
  };
}

function startBuildpacks(follower: Follower, invocation: Invocation): Outcome {
  const process = buildpacksInvocation(follower, invocation);
  if (process !== undefined) return follower.start(process);
  const why = "the Buildpacks launcher's process, which neither label nor file of the image tells";
  return { ...nothing, stays: [hiddenProgram(why)] };
}

/** Follows a launcher of the tables. It may ask the network itself, so it counts beside what it starts. */
function startLaunch(follower: Follower, invocation: Invocation): Outcome | undefined {
  const launch = launchOf(invocation, (word) => isProgram(follower, invocation, word));
  if (launch === undefined) return undefined;
  const located = locate(follower, invocation);
  // A script of that name is followed by its text.
  if (located.status === 'found' && located.content.kind === 'script' && !launch.ofEnvironment) return undefined;
  const launcher = programOf(follower, { ...invocation, direct: false }, located);
  const env = launch.ofEnvironment ? environmentPath(invocation) : invocation.env;
  const started = follower.start({ ...invocation, argv: launch.argv, env, direct: false });
  const isMissing = started.stays.every((one) => /^(?:absent|unseen)$/u.test(one.located.status));
  const outcome =
    launch.ofEnvironment && isMissing
      ? startInterpreter(follower, { ...invocation, env, direct: false }, located)
      : started;
  return launch.isQuiet ? outcome : { ...outcome, passing: together(outcome.passing, [launcher]) };
}

/** Follows a launcher whose configuration file says what it starts, if anything. */
function startConfigured(follower: Follower, invocation: Invocation): Outcome | undefined {
  const configuration = configurationOf(invocation);
  if (configuration === undefined) return undefined;
  const file = follower.at(joinPath(invocation.directory, configuration.path), true);
  const text = file.type === 'file' ? file.text : undefined;
  const argv = text === undefined ? null : execOf(text);
  if (argv === undefined || (text === undefined && !configuration.mostly)) return undefined;
  const itself = startFile(follower, invocation);
  if (argv === null) {
    const hidden = hiddenProgram('what its configuration file names, which is out of reach');
    return { ...itself, stays: together(itself.stays, [hidden]) };
  }
  const outcome = follower.start({ ...invocation, argv, direct: false });
  return { ...outcome, passing: together(outcome.passing, itself.stays) };
}

/** Follows the interpreter of a package manager: that which runs it, if it is a script itself, else python. */
function startInterpreter(follower: Follower, invocation: Invocation, manager: Located): Outcome {
  if (manager.status === 'found' && manager.content.kind === 'script') return startFile(follower, invocation);
  const [outcome = nothing, ...others] = ['python3', 'python'].map((name) =>
    follower.start({ ...invocation, argv: [name] }),
  );
  const isAbsent = outcome.stays.every(({ located }) => located.status === 'absent');
  return isAbsent ? (others[0] ?? outcome) : outcome;
}

// uv, poetry and pipenv keep a project's programs in .venv.
function environmentPath({ env, directory }: Invocation): ReadonlyMap<string, string> {
  const own = [env.get('UV_PROJECT_ENVIRONMENT'), env.get('VIRTUAL_ENV'), joinPath(directory, '.venv')];
  const path = [
    ...own.filter((one) => one !== undefined).map((one) => `${joinPath(directory, one)}/bin`),
    env.get('PATH') ?? '',
  ];
  return new Map([...env, ['PATH', path.join(':')]]);
}

function startFile(follower: Follower, invocation: Invocation): Outcome {
  const located = locate(follower, invocation);
  const isText = located.status === 'found' && 'text' in located.content && located.content.text !== undefined;
  // Without `#!`, the container runtime refuses it, but a shell or wrapper runs it as a shell script (execvp(3)).
  if (isText && !(invocation.direct === true && located.content.kind === 'plain')) {
    const [first = '/bin/sh', ...more] = shebangOf(textOf(located));
    const argv = [first, ...more, askedPath(follower, invocation), ...invocation.argv.slice(1)];
    const outcome = follower.start({ ...invocation, argv, direct: false });
    return addDoubts(throughInterpreter(follower, invocation, outcome), located);
  }
  const program = programOf(follower, invocation, located);
  const scripted = startScripted(follower, invocation, program);
  if (scripted !== undefined) return scripted;
  const operand = operandOf(follower, invocation, program);
  if (operand === undefined) return { ...nothing, stays: [program] };
  const outcome = follower.start({ ...invocation, argv: operand, direct: false });
  if (outcome.stays.every((one) => one.located.status === 'absent')) return { ...nothing, stays: [program] };
  return { ...outcome, stays: together([{ ...program, direct: false }], outcome.stays) };
}

/** Follows the script of package.json that a package manager runs, where all that it runs is there. */
function startPackageScript(follower: Follower, invocation: Invocation): Outcome | undefined {
  const { argv, env, directory } = invocation;
  if (!/^(?:npm|yarn|pnpm)$/u.test(baseName(argv[0] ?? ''))) return undefined;
  const place = `${invocation.root ?? ''}${joinPath(directory, 'package.json')}`;
  const file = follower.files.at(place, true);
  if (file.type === 'unseen') return unseenPackage(follower, invocation, place);
  const script = file.type === 'file' && file.text !== undefined ? packageScript(argv.slice(1), file.text) : undefined;
  if (script === undefined) return undefined;
  const path = `${joinPath(directory, 'node_modules/.bin')}:${env.get('PATH') ?? ''}`;
  const shell = {
    ...invocation,
    argv: ['/bin/sh', '-c', script],
    env: new Map([...env, ['PATH', path]]),
    direct: false,
  };
  const outcome = follower.start(shell);
  const isNamed = ({ located, isUtility }: Program): boolean =>
    !isUtility &&
    (located.status === 'found' ||
      (located.status === 'unseen' && located.paths.length === 1 && follower.files.isNamed(located)));
  if (!outcome.stays.every(isNamed)) return undefined;
  const keys = new Set(outcome.stays.map(({ key }) => key));
  const manager = startFile(follower, invocation).stays.filter(
    ({ key, located }) => located.status === 'found' && !keys.has(key),
  );
  return { ...outcome, passing: together(outcome.passing, manager) };
}

/** Returns what runs a script of package.json, as far as its name tells: most of them start Node. */
function unseenPackage(follower: Follower, invocation: Invocation, place: string): Outcome | undefined {
  const located = follower.files.locate([place]);
  if (located.status !== 'unseen') return undefined;
  const manager = startFile(follower, invocation);
  const instead = (program: Program): Program =>
    program.located.status === 'found'
      ? { ...program, key: `${program.key} ${place}`, located, runBy: program.located }
      : program;
  return { ...manager, stays: manager.stays.map(instead) };
}

/** Follows what an interpreter's script starts; undefined if nothing shows that it starts another program. */
function startScripted(follower: Follower, invocation: Invocation, interpreter: Program): Outcome | undefined {
  const [name = '', ...words] = invocation.argv;
  const script = isInterpreterName(baseName(name)) ? scriptOf(words) : undefined;
  if (script === undefined || !isKnown(script.path)) return undefined;
  const file = follower.files.at(`${invocation.root ?? ''}${joinPath(invocation.directory, script.path)}`);
  const starts = file.type === 'file' && file.text !== undefined ? startsOf(name, file.text, script.args) : undefined;
  if (starts === undefined) return undefined;
  follower.spend(Math.ceil(starts.commands.length * 4));
  const started = starts.commands
    .filter((argv) => mayBeProgram(follower, invocation, argv[0] ?? '', argv === script.args))
    .map((argv) => follower.start({ ...invocation, argv, direct: false }));
  const stays = started
    .flatMap((outcome) => outcome.stays)
    .filter((program) => !program.isUtility && program.located.status !== 'absent');
  if (stays.length === 0) return undefined;
  const one = starts.replaced && new Set(stays.map(({ key }) => key)).size === 1;
  return {
    stays: together(one ? [] : [{ ...interpreter, direct: false }], stays),
    beside: started.map(({ beside }) => beside).reduce(together, []),
    passing: started.map(({ passing }) => passing).reduce(together, one && starts.mayResolve ? [interpreter] : []),
  };
}

/** Of a script that asks its interpreter for the command line (Spark's), the interpreter is what runs. */
function throughInterpreter(follower: Follower, invocation: Invocation, outcome: Outcome): Outcome {
  const interpreter = interpreterOf(baseName(invocation.argv[0] ?? ''));
  const isHidden = outcome.stays.every(({ located }) => located.status === 'hidden');
  if (interpreter === undefined || !isHidden) return outcome;
  const instead = follower.start({ ...invocation, argv: [interpreter], direct: false });
  return instead.stays.every(({ located }) => located.status === 'absent') ? outcome : instead;
}

const textOf = ({ content }: Found): string => ('text' in content ? (content.text ?? '') : '');
