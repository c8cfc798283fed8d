import { execWrapper } from '../../../detection/pod/exec-wrappers.ts';
import { splitWords } from '../../shell/parse.ts';
import { type Invocation, toolName } from '../invocation.ts';

/** Where a launcher's words name the program that it starts. */
interface Shape {
  /** Words before its options: `exec`, `run`. Without one of them it starts nothing. */
  readonly verbs?: string;
  /**
   * `dashes`: behind `--`, else the first word that is a program. `words`: what follows the options. `line`: that, joined to a
   * text for a shell.
   */
  readonly program: 'dashes' | 'words' | 'line';
  /** Words between the options and the program. */
  readonly operands?: number;
  /** Options whose value is the next word. */
  readonly valued?: string;
  /** An option whose value is the program's command line, as one text. */
  readonly text?: string;
  /** Options without which it resolves no names. */
  readonly asks?: RegExp;
}

/**
 * Programs that prepare something (mostly: fetch secrets or configuration over the network) and then start another one, from
 * their own documentation. They may resolve names themselves.
 */
const shapes: Readonly<Record<string, Shape>> = {
  // https://docs.doppler.com/docs/cli: doppler run [--command TEXT] -- COMMAND
  doppler: { verbs: 'run', program: 'dashes', text: '--command' },
  // https://infisical.com/docs/cli/commands/run
  infisical: { verbs: 'run', program: 'dashes', text: '--command' },
  // https://github.com/hashicorp/consul-template/blob/main/docs/configuration.md: -exec TEXT
  'consul-template': { program: 'dashes', text: '-exec' },
  // https://dotenvx.com/docs: dotenvx run [-f FILE] -- COMMAND
  dotenvx: { verbs: 'run', program: 'dashes' },
  // https://docs.phase.dev/cli/commands#run: phase run [options] TEXT
  phase: { verbs: 'run', program: 'line', valued: '--env --app --app-id --path --tags --generate-leases --lease-ttl' },
  // https://bitwarden.com/help/secrets-manager-cli: bws run [options] -- TEXT
  bws: {
    verbs: 'run',
    program: 'line',
    valued: '--project-id --access-token --config-file --profile --server-url -t --shell',
  },
  // https://openbao.org/docs/agent-and-proxy/agent/process-supervisor
  bao: { verbs: 'agent', program: 'dashes', text: '-exec' },
  // https://docs.gomplate.ca/usage: gomplate [options] -- COMMAND
  gomplate: { program: 'dashes' },
  // https://direnv.net/man/direnv.1.html: direnv exec DIRECTORY COMMAND
  direnv: { verbs: 'exec', program: 'words', operands: 1 },
  // https://mise.jdx.dev/cli/exec.html: mise exec [TOOL…] -- COMMAND
  mise: { verbs: 'exec x', program: 'dashes' },
  // https://github.com/rbenv/rbenv#rbenv-exec, https://github.com/pyenv/pyenv/blob/master/COMMANDS.md#pyenv-exec
  rbenv: { verbs: 'exec', program: 'words' },
  pyenv: { verbs: 'exec', program: 'words' },
  // https://developer.hashicorp.com/vault/docs/agent-and-proxy/agent/process-supervisor: vault agent -exec TEXT
  vault: { verbs: 'agent', program: 'dashes', text: '-exec' },
  // https://github.com/jwilder/dockerize, https://github.com/powerman/dockerize
  dockerize: {
    program: 'words',
    valued:
      '-template -stdout -stderr -wait -timeout -wait-retry-interval -wait-http-header -delims -env -env-section -poll-interval ' +
      '-wait-list -ini-file -exitcode',
    // Templates may call sprig's getHostByName.
    asks: /^--?(?:wait|env|template)/u,
  },
  'secret-init': { program: 'words' },
  // https://github.com/tellerops/teller: teller run -- COMMAND
  teller: { verbs: 'run', program: 'dashes' },
  // https://github.com/cyberark/summon: summon [options] COMMAND
  summon: { program: 'words', valued: '-f -p -e -D --file --provider --environment' },
  // https://github.com/helmfile/vals: vals exec -f FILE -- COMMAND
  vals: { verbs: 'exec', program: 'dashes' },
  // https://getsops.io/docs: sops exec-env FILE TEXT
  sops: { verbs: 'exec-env exec-file', program: 'dashes' },
  // https://github.com/remind101/ssm-env: ssm-env [options] COMMAND
  'ssm-env': { program: 'words', valued: '-template' },
  // https://github.com/springload/ssm-parent: ssm-parent [options] run -- COMMAND
  'ssm-parent': { verbs: 'run', program: 'dashes' },
  // https://github.com/telia-oss/aws-env, https://github.com/Droplr/aws-env
  'aws-env': { verbs: 'exec', program: 'dashes' },
  // https://litestream.io/reference/replicate: litestream replicate -exec TEXT
  litestream: { verbs: 'replicate', program: 'dashes', text: '-exec' },
  // https://www.datadoghq.com serverless-init: datadog-init COMMAND
  'datadog-init': { program: 'words' },
  // https://github.com/awslabs/aws-lambda-web-adapter and GCP's: COMMAND behind --
  gcsfuse: { program: 'dashes' },
  // https://github.com/pyroscope: pyroscope exec COMMAND
  pyroscope: { verbs: 'exec', program: 'words' },
  // https://github.com/eficode/wait-for and Go's: `wait4x tcp HOST -- COMMAND`
  wait4x: { program: 'dashes' },
  'wait-for': { program: 'dashes' },
  // https://github.com/watchexec/watchexec, https://github.com/air-verse/air, https://github.com/cespare/reflex
  watchexec: { program: 'dashes' },
  reflex: { program: 'dashes' },
  entr: { program: 'words' },
};

/** Package managers that run a program of their environment. They may ask the network first, to bring that up to date. */
const environments: Readonly<Record<string, { readonly verbs: string; readonly valued: string }>> = {
  // https://docs.astral.sh/uv/reference/cli/#uv-run
  uv: {
    verbs: 'run',
    valued:
      '--with --with-editable --with-requirements --extra --group --no-group --only-group --env-file --python -p --project --directory ' +
      '--package --index --default-index --index-url -i --extra-index-url --find-links -f --cache-dir --config-file --color --module -m -w',
  },
  poetry: { verbs: 'run', valued: '-C --directory -P --project' },
  pipenv: { verbs: 'run', valued: '' },
  pdm: { verbs: 'run', valued: '-p --project' },
  hatch: { verbs: 'run', valued: '' },
  rye: { verbs: 'run', valued: '' },
  pixi: { verbs: 'run', valued: '-e --environment --manifest-path' },
  conda: { verbs: 'run', valued: '-n -p --name --prefix --cwd' },
  mamba: { verbs: 'run', valued: '-n -p --name --prefix --cwd' },
  micromamba: { verbs: 'run', valued: '-n -p --name --prefix --cwd -r --root-prefix -a' },
};

/** What a launcher starts. */
export interface Launch {
  readonly argv: readonly string[];
  /** It is a program of a package manager's environment: if not found, the language's interpreter. */
  readonly ofEnvironment: boolean;
  /** It resolves no names itself. */
  readonly isQuiet: boolean;
}

/**
 * Returns what a launcher of the tables starts; undefined for any other program. `isProgram` reports whether a word names a
 * program of the image. An empty `argv`: it starts something that its words do not tell.
 */
export function launchOf({ argv }: Invocation, isProgram: (word: string) => boolean): Launch | undefined {
  const [program = '', ...words] = argv;
  const name = toolName(program);
  if (Object.hasOwn(environments, name)) return inEnvironment(words, environments[name]);
  const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  const own = shape && launched(words, shape, isProgram);
  const behind = own === undefined ? execWrapper(name)?.(words) : undefined;
  return own ?? (behind && { argv: behind, ofEnvironment: false, isQuiet: false });
}

function launched(words: readonly string[], shape: Shape, isProgram: (word: string) => boolean): Launch | undefined {
  const { verbs, program, valued = '', text = '', operands = 0 } = shape;
  const begin = verbs === undefined ? 0 : words.findIndex((word) => verbs.split(' ').includes(word)) + 1;
  if (verbs !== undefined && begin === 0) return undefined;
  const rest = words.slice(begin);
  const line = text === '' ? undefined : optionValue(rest, text);
  if (line !== undefined) return { argv: argvOf(line), ofEnvironment: false, isQuiet: false };
  const argv =
    program === 'dashes'
      ? (afterDashes(rest) ?? afterSearch(rest, isProgram))
      : afterOptions(rest, valued.split(' ')).slice(operands);
  if (argv.length === 0) return undefined;
  const isQuiet = isQuietWith(shape, rest.slice(0, rest.length - argv.length));
  return { argv: program === 'line' ? ['/bin/sh', '-c', argv.join(' ')] : argv, ofEnvironment: false, isQuiet };
}

const isQuietWith = ({ asks }: Shape, options: readonly string[]): boolean =>
  asks !== undefined && !options.some((word) => asks.test(word));

/** Returns the command line that a text stands for: a shell's if it has what only shells know. */
export const argvOf = (text: string): readonly string[] =>
  /[;&|$<>`]/u.test(text) ? ['/bin/sh', '-c', text] : splitWords(text);

/** Returns the value of an option, after `=` or in the next word; one dash or two are the same. */
export function optionValue(words: readonly string[], option: string): string | undefined {
  for (const [at, word] of words.entries()) {
    const plain = word.replace(/^--/u, '-');
    const wanted = option.replace(/^--/u, '-');
    if (plain === wanted) return words[at + 1];
    if (plain.startsWith(`${wanted}=`)) return plain.slice(wanted.length + 1);
  }
  return undefined;
}

/** Returns what follows `--`; undefined without it. */
export function afterDashes(words: readonly string[]): readonly string[] | undefined {
  const at = words.indexOf('--');
  return at === -1 ? undefined : words.slice(at + 1);
}

function afterSearch(words: readonly string[], isProgram: (word: string) => boolean): readonly string[] {
  const at = words.findIndex((word) => !word.startsWith('-') && isProgram(word));
  return at === -1 ? [] : words.slice(at);
}

function afterOptions(words: readonly string[], valued: readonly string[]): readonly string[] {
  let at = 0;
  while (words[at]?.startsWith('-') === true) {
    if (words[at] === '--') return words.slice(at + 1);
    at += valued.includes(words[at] ?? '') ? 2 : 1;
  }
  return words.slice(at);
}

function inEnvironment(
  words: readonly string[],
  shape: { verbs: string; valued: string } | undefined,
): Launch | undefined {
  const { verbs = '', valued = '' } = shape ?? {};
  const at = words.indexOf(verbs);
  if (at === -1) return undefined;
  const rest = words.slice(at + 1);
  const argv = afterOptions(rest, valued.split(' '));
  const isModule = rest.slice(0, rest.length - argv.length).some((word) => /^(?:-m|--module)$/u.test(word));
  const [first = ''] = argv;
  // A script is run by the environment's interpreter.
  const byPython = isModule || /\.pyw?$|\.pyz$/u.test(first) || argv.length === 0;
  return { argv: byPython ? ['python3', ...argv] : argv, ofEnvironment: true, isQuiet: false };
}
