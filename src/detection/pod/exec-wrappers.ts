/** How a program that prepares something and then runs a command names the command. */
interface ExecWrapper {
  /** Words that come first: `run` of `doppler run -- COMMAND`. */
  readonly subcommand?: string;
  /** The command stands behind `--` alone. */
  readonly separator?: true;
  /** Options whose value is the next word; `all`: every option without `=`. */
  readonly valued?: readonly string[] | 'all';
  /** The option that names the program; its arguments stand behind `--`. */
  readonly option?: string;
  /** Words between the options and the command. */
  readonly operands?: number;
}

const WRAPPERS: Readonly<Record<string, ExecWrapper>> = {
  // https://argo-workflows.readthedocs.io/en/latest/workflow-executors/ (emissary)
  argoexec: { subcommand: 'emissary', separator: true },
  // https://github.com/tektoncd/pipeline/tree/main/cmd/entrypoint
  entrypoint: { option: '-entrypoint' },
  // https://bank-vaults.dev/docs/mutating-webhook/
  'vault-env': {},
  // https://github.com/GoogleCloudPlatform/berglas#exec
  berglas: { subcommand: 'exec', separator: true },
  // https://github.com/doitintl/secrets-init#usage
  'secrets-init': { valued: ['--provider', '--google-project', '--log-level'] },
  // https://github.com/kubeflow/pipelines/tree/master/backend/src/v2/cmd/launcher-v2
  'launcher-v2': { separator: true },
  launch: { separator: true },
  // https://docs.doppler.com/docs/cli
  doppler: { subcommand: 'run', separator: true },
  // https://ddtrace.readthedocs.io/en/stable/installation_quickstart.html
  'ddtrace-run': {},
  // https://github.com/segmentio/chamber#exec
  chamber: { subcommand: 'exec', separator: true },
  // https://github.com/99designs/aws-vault/blob/master/USAGE.md
  'aws-vault': { subcommand: 'exec', valued: ['-d', '--duration', '-t', '--mfa-token', '--region'], operands: 1 },
  // https://developer.1password.com/docs/cli/reference/commands/run
  op: { subcommand: 'run', separator: true },
  // https://infisical.com/docs/cli/commands/run
  infisical: { subcommand: 'run', separator: true },
  // https://github.com/hashicorp/envconsul#command-line-options
  envconsul: {
    valued: [
      '-config',
      '-prefix',
      '-secret',
      '-service',
      '-log-level',
      '-kill-signal',
      '-consul-addr',
      '-vault-addr',
    ].concat(['-consul-token', '-vault-token', '-wait', '-splay', '-exec-kill-timeout']),
  },
  // https://opentelemetry.io/docs/zero-code/python/
  'opentelemetry-instrument': { valued: 'all' },
  // https://docs.newrelic.com/docs/apm/agents/python-agent/installation/python-agent-admin-script-advanced-usage/
  'newrelic-admin': { subcommand: 'run-program' },
};

/** Returns how a program of this name is looked through; undefined if it is no such wrapper. */
export function execWrapper(name: string): ((words: readonly string[]) => readonly string[] | undefined) | undefined {
  const wrapper = Object.hasOwn(WRAPPERS, name) ? WRAPPERS[name] : undefined;
  return wrapper && ((words) => behind(words, wrapper));
}

/** Returns the command behind a wrapper's own words; undefined if it runs none. */
function behind(words: readonly string[], wrapper: ExecWrapper): readonly string[] | undefined {
  const { subcommand, separator, valued = [], option, operands = 0 } = wrapper;
  const own = subcommand === undefined ? words : words.slice(1);
  if (subcommand !== undefined && words[0] !== subcommand) return undefined;
  if (option !== undefined) return fromOption(own, option);
  if (separator === true) return behindSeparator(own);
  const at = optionsEnd(own, valued);
  return some(own[at] === '--' ? own.slice(at + 1) : withoutSeparator(own.slice(at + operands)));
}

const withoutSeparator = (words: readonly string[]): readonly string[] => (words[0] === '--' ? words.slice(1) : words);

/** Returns the index of the first word that is neither an option nor an option's value. */
function optionsEnd(words: readonly string[], valued: readonly string[] | 'all'): number {
  let at = 0;
  for (let word = words[at]; word?.startsWith('-') === true && word !== '--'; word = words[at]) {
    at += !word.includes('=') && (valued === 'all' || valued.includes(word)) ? 2 : 1;
  }
  return at;
}

/** `-entrypoint PROGRAM -- ARGUMENTS`, in any order with other options. */
function fromOption(words: readonly string[], option: string): readonly string[] | undefined {
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  // Go's flag package takes one dash or two, and the value behind = or as the next word.
  const own = words.slice(0, end).map((word) => word.replace(/^--/u, '-'));
  const at = own.findIndex((word) => word === option || word.startsWith(`${option}=`));
  const program = own[at] === option ? own[at + 1] : own[at]?.slice(option.length + 1);
  return program === undefined || program === '' ? undefined : [program, ...words.slice(end + 1)];
}

/** Returns the words behind the first `--`; undefined if there are none. */
function behindSeparator(words: readonly string[]): readonly string[] | undefined {
  const at = words.indexOf('--');
  return at === -1 ? undefined : some(words.slice(at + 1));
}

const some = (words: readonly string[]): readonly string[] | undefined => (words.length === 0 ? undefined : words);

/** A container's command line, and the paths at which volumes are mounted. */
interface MountedRun {
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly mounts?: readonly string[];
}

/** Returns the volume's path if a volume hides `path` of the image. */
export const mountOver = (path: string, mounts: readonly string[] = []): string | undefined =>
  mounts.find(
    (mount) => path.startsWith(mount) && (path === mount || mount.endsWith('/') || path[mount.length] === '/'),
  );

/** Most programs of volumes that are looked through, and words that are looked at. The Pod's author chooses both. */
const MOST_PROGRAMS = 8;
const MOST_WORDS = 1024;

/**
 * Returns the command of a container without a program that comes from a volume: what the program runs counts, for it alone is in
 * the image. Undefined if the program that counts comes from a volume itself.
 */
export function commandInImage({ command, args, mounts }: MountedRun): Omit<MountedRun, 'mounts'> | undefined {
  if (mountOver(command[0] ?? '', mounts) === undefined) return { command, args };
  let words: readonly string[] | undefined = [...command.slice(0, MOST_WORDS), ...args.slice(0, MOST_WORDS)];
  for (let programs = 0; words !== undefined && programs < MOST_PROGRAMS; programs += 1) {
    const [program = '', ...rest]: readonly string[] = words;
    if (mountOver(program, mounts) === undefined) return { command: words, args: [] };
    words = (execWrapper(program.slice(program.lastIndexOf('/') + 1)) ?? behindSeparator)(rest);
  }
  return undefined;
}
