import { splitWords } from '../shell/parse.ts';
import { isKnown } from '../shell/run/values.ts';
import { type Follower, isProgram, locate } from './follower.ts';
import { baseName, type Invocation } from './invocation.ts';
import { interpreterOf, isInterpreterName, isLinkedToBase, isMadeByGo } from './known-programs.ts';
import { afterDashes } from './launchers/launchers.ts';
import type { Program } from './outcome.ts';

/** Returns the command line that a program which no table knows may start: one of its words is, or names, a program, too. */
export function operandOf(
  follower: Follower,
  invocation: Invocation,
  { located, isUtility }: Program,
): readonly string[] | undefined {
  const [program = '', ...words] = invocation.argv;
  if (isUtility || runsItself(baseName(program)) || located.status === 'absent' || located.status === 'hidden')
    return undefined;
  const dashed = afterDashes(words);
  if (dashed !== undefined && mayBeProgram(follower, invocation, dashed[0] ?? '', true)) return dashed;
  for (const [at, word] of words.entries()) {
    // A word may be a whole command line.
    const line = /^[^-\s]\S*\s/u.test(word) && isKnown(word) ? splitWords(word) : words.slice(at);
    if (mayBeProgram(follower, invocation, line[0] ?? '', false)) return line;
  }
  return undefined;
}

/** Reports whether a program of this name runs what it is given itself. */
const runsItself = (name: string): boolean =>
  isInterpreterName(name) || interpreterOf(name) !== undefined || isLinkedToBase(name) || isMadeByGo(name);

// What programs are given to read.
const dataName =
  /\.(?:conf|cfg|cnf|config|ini|ya?ml|json|toml|xml|properties|jar|war|pem|crt|key|sock|log|pid|txt|db|sql|lua|hcl)$/u;

/**
 * Reports whether a word names an executable of the image, or one that was not seen: in a place that the image's history names,
 * under the name of a well-known program, or `behind` dashes.
 */
export function mayBeProgram(follower: Follower, invocation: Invocation, word: string, behind: boolean): boolean {
  if (isProgram(follower, invocation, word)) return true;
  if (!isKnown(word) || !/^[\w./+-]+$/u.test(word) || word.startsWith('-') || dataName.test(word)) return false;
  const located = locate(follower, { ...invocation, argv: [word] });
  if (located.status !== 'unseen') return false;
  if (behind || isInterpreterName(word) || interpreterOf(word) !== undefined) return true;
  return word.includes('/') && follower.files.isNamed(located);
}
