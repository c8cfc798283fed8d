import { parseShell } from '../shell/parse.ts';
import { followShell } from '../shell/run/execute.ts';
import { UNKNOWN } from '../shell/run/values.ts';
import type { ShellText } from '../shell/syntax.ts';
import { addDoubts, type Follower, locate, programOf } from './follower.ts';
import { baseName, type Invocation, joinPath } from './invocation.ts';
import { hiddenProgram, type Located, nothing, type Outcome } from './outcome.ts';
import { type ShellArguments, shellArguments } from './script.ts';

/** Follows a shell's text or script; undefined if it reads commands from the container's standard input. */
export function startShell(follower: Follower, invocation: Invocation): Outcome | undefined {
  const { argv, input } = invocation;
  const call = shellArguments(argv);
  if (call === undefined) return input === undefined ? undefined : startInput(follower, invocation, input);
  if (call.text !== undefined) return runShell(follower, invocation, readShell(follower, call.text, true), call);
  const script = locateScript(follower, invocation, call.zero);
  if (script.status === 'found' && script.content.kind === 'elf') return undefined;
  if (script.status !== 'found' || !('text' in script.content) || script.content.text === undefined) {
    return { ...nothing, stays: [programOf(follower, invocation, script)] };
  }
  const { content } = script;
  const parsed = readShell(follower, script.content.text);
  const read =
    content.kind === 'script' && !content.whole ? { ...parsed, broken: 'only its beginning was read' } : parsed;
  const zero = call.zero.includes('/') ? call.zero : `/${script.path}`;
  return addDoubts(runShell(follower, invocation, read, { ...call, zero }), script);
}

/** Follows a shell that reads its commands from a here-document, a file or a pipe. */
function startInput(follower: Follower, invocation: Invocation, input: string): Outcome {
  if (input.startsWith(UNKNOWN)) {
    return { ...nothing, stays: [hiddenProgram('a shell text that is put together while it runs')] };
  }
  const [zero = ''] = invocation.argv;
  const call: ShellArguments = { text: input, zero, parameters: [], isLogin: false };
  return runShell(follower, invocation, readShell(follower, input, true), call);
}

/** Follows a shell's text. If it runs no program, the shell itself stays. */
function runShell(
  follower: Follower,
  invocation: Invocation,
  text: ShellText,
  { zero, parameters, isLogin }: ShellArguments,
): Outcome {
  const isBash = runsBash(follower, invocation);
  const begun = isLogin ? logIn(follower, invocation) : { files: bashEnv(invocation), env: invocation.env };
  const first = begun.files.flatMap((path) => readShell(follower, `. "${path}"`).commands);
  const whole = first.length === 0 ? text : { ...text, commands: [...first, ...text.commands] };
  const call = { invocation: { ...invocation, env: begun.env }, zero, parameters, isBash };
  const outcome = followShell(whole, call, follower);
  if (outcome.stays.length + outcome.beside.length > 0) return outcome;
  // What is built into a shell resolves no names.
  return { ...outcome, stays: [{ ...programOf(follower, invocation, locate(follower, invocation)), isUtility: true }] };
}

// bash(1), INVOCATION: a script of bash, but not of sh, reads this first.
function bashEnv({ argv, env }: Invocation): readonly string[] {
  const path = baseName(argv[0] ?? '') === 'bash' ? (env.get('BASH_ENV') ?? '') : '';
  return /^[\w./-]+$/u.test(path) ? [path] : [];
}

/** Returns the files that a login shell reads first, and its environment then. */
function logIn(
  follower: Follower,
  { argv, env, uid }: Invocation,
): { files: readonly string[]; env: Invocation['env'] } {
  const home = env.get('HOME') ?? (uid === '0' ? '/root' : '');
  const names = baseName(argv[0] ?? '') === 'bash' ? ['.bash_profile', '.bash_login', '.profile'] : ['.profile'];
  const own = /^[\w./-]+$/u.test(home) ? names.map((name) => `${home}/${name}`) : [];
  const user = own.find((path) => follower.at(path).type === 'file');
  const profile = follower.at('/etc/profile', true);
  // Distributions' own sets PATH, whatever it was.
  const isUnread = profile.type === 'unseen' || (profile.type === 'file' && profile.text === undefined);
  return {
    files: [...(profile.type === 'file' ? ['/etc/profile'] : []), ...(user === undefined ? [] : [user])],
    env: isUnread ? new Map([...env, ['PATH', UNKNOWN]]) : env,
  };
}

/** Reads a text; its length counts as work. */
function readShell(follower: Follower, text: string, marked = false): ShellText {
  follower.spend(Math.ceil(text.length / 100));
  return parseShell(text, marked);
}

function runsBash(follower: Follower, invocation: Invocation): boolean {
  const located = locate(follower, invocation);
  const name = baseName(invocation.argv[0] ?? '');
  return name === 'bash' || (name === 'sh' && located.status === 'found' && baseName(located.path) === 'bash');
}

function locateScript(follower: Follower, invocation: Invocation, name: string): Located {
  const here = locate(follower, { ...invocation, argv: [joinPath(invocation.directory, name)] });
  return here.status === 'found' || name.includes('/') ? here : locate(follower, { ...invocation, argv: [name] });
}
