import { Argument, type Command, type Option } from 'commander';

import { helpText } from './help.ts';
import type { Io } from './io.ts';

/** A flag as a shell offers it. */
interface Flag {
  readonly long: string;
  readonly short: string | undefined;
  readonly description: string;
  /** What the value is called, `file`; undefined if the flag takes none. */
  readonly value: string | undefined;
  readonly choices: readonly string[];
}

interface Entry {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly Flag[];
  /** Values of its first argument. */
  readonly choices: readonly string[];
}

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

const HELP = `
Examples:
  source <(libc-dns completion bash)                                    in ~/.bashrc
  source <(libc-dns completion zsh)                                     in ~/.zshrc, after compinit
  libc-dns completion fish >~/.config/fish/completions/libc-dns.fish`;

/** Adds `libc-dns completion`, which prints a script for a shell: it offers commands, flags and their values. */
export function completionCommand(program: Command, { io }: { readonly io: Io }): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(Object.keys(SHELLS)))
    .description('print a script that completes commands and flags in a shell')
    .addHelpText('after', helpText(HELP))
    .action((shell: keyof typeof SHELLS) => io.out(SHELLS[shell](entriesOf(program), flagsOf(program))));
}

function flagsOf(command: Command): Flag[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option: Option) => ({
      long: option.long ?? '',
      short: option.short,
      description: option.description,
      value: /^[^<[]*[<[]([^<>[\]]+)[>\]]$/.exec(option.flags)?.[1],
      choices: option.argChoices ?? [],
    }));
}

function entriesOf(program: Command): Entry[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((command) => ({
      name: command.name(),
      description: command.description(),
      flags: flagsOf(command),
      choices: command.name() === 'help' ? [] : (command.registeredArguments[0]?.argChoices ?? []),
    }));
}

/** Reports whether the value of a flag is the path of a file. */
const isFile = ({ value }: Flag): boolean => value === 'file';

const names = ({ long, short }: Flag): string[] => (short === undefined ? [long] : [short, long]);

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** What matches nothing that is offered is completed as a file (`-o default`). */
function bashScript(entries: readonly Entry[], flags: readonly Flag[]): string {
  const cases = entries.flatMap(({ name, flags: own, choices }) => [
    ...own
      .filter(({ value }) => value !== undefined)
      .map(
        (flag) =>
          `    ${names(flag)
            .map((word) => `${name}:${word}`)
            .join('|')}) words='${flag.choices.join(' ')}' ;;`,
      ),
    `    ${name}:*) words='${[...choices, ...own.flatMap(names)].join(' ')}' ;;`,
  ]);
  const first = [...entries.map(({ name }) => name), ...flags.flatMap(names)];
  return `# bash completion of libc-dns: source <(libc-dns completion bash)
_libc_dns() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} words=
  if [ "$current" = = ]; then
    current=
  elif [ "$before" = = ]; then
    before=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  [ "$COMP_CWORD" -gt 1 ] || before=first
  case \${COMP_WORDS[1]}:$before in
    *:first) words='${first.join(' ')}' ;;
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _libc_dns libc-dns
`;
}

const zshText = (text: string): string => text.replaceAll(/[[\]:\\]/g, String.raw`\$&`);

/** A specification of _arguments: `'(-o --output)'{-o,--output}'[output format]:format:(table json)'`. */
function zshFlag(flag: Flag): string {
  const { long, short, description, value, choices } = flag;
  const action = choices.length > 0 ? `(${choices.join(' ')})` : isFile(flag) ? '_files' : ' ';
  const tail = `[${zshText(description)}]${value === undefined ? '' : `:${zshText(value)}:${action}`}`;
  return short === undefined ? quoted(`*${long}${tail}`) : `'*'{${short},${long}}${quoted(tail)}`;
}

function zshScript(entries: readonly Entry[], flags: readonly Flag[]): string {
  const commands = entries.map(({ name, description }) => `    ${quoted(`${name}:${zshText(description)}`)}`);
  const cases = entries.map(({ name, flags: own, choices }) => {
    const rest = choices.length > 0 ? `'1:choice:(${choices.join(' ')})'` : "'*:file:_files'";
    return `    ${name}) _arguments ${[...own.map(zshFlag), rest].join(' \\\n      ')} ;;`;
  });
  return `#compdef libc-dns
# zsh completion of libc-dns: source <(libc-dns completion zsh)
_libc_dns() {
  local -a commands
  commands=(
${commands.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    _arguments ${flags.map(zshFlag).join(' ')}
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _libc_dns ]; then _libc_dns "$@"; else compdef _libc_dns libc-dns; fi
`;
}

function fishScript(entries: readonly Entry[], flags: readonly Flag[]): string {
  const line = (condition: string, flag: Flag): string => {
    const { long, short, description, value, choices } = flag;
    return [
      `complete -c libc-dns -n ${quoted(condition)} -l ${long.slice(2)}`,
      short === undefined ? '' : `-s ${short.slice(1)}`,
      value === undefined ? '' : isFile(flag) ? '-r' : `-x -a ${quoted(choices.join(' '))}`,
      `-d ${quoted(description)}`,
    ]
      .filter(Boolean)
      .join(' ');
  };
  const start = '__fish_use_subcommand';
  const lines = entries.flatMap(({ name, description, flags: own, choices }) => {
    const inside = `__fish_seen_subcommand_from ${name}`;
    return [
      `complete -c libc-dns -n ${start} -f -a ${name} -d ${quoted(description)}`,
      ...own.map((flag) => line(inside, flag)),
      ...(choices.length > 0 ? [`complete -c libc-dns -n ${quoted(inside)} -f -a ${quoted(choices.join(' '))}`] : []),
    ];
  });
  return `# fish completion of libc-dns
${[...flags.map((flag) => line(start, flag)), ...lines].join('\n')}
`;
}
