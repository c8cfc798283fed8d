import { baseName, joinPath } from '../command/invocation.ts';
import { expandText } from './run/expand.ts';
import type { Run } from './run/run.ts';
import type { State } from './run/state.ts';
import { isKnown, UNKNOWN } from './run/values.ts';
import type { Redirect } from './syntax.ts';
import { literalOf } from './words.ts';

/* What commands read from files, and put at other paths. */

/** Notes the files that a command writes by its own words. */
export function noteWrites(run: Run, from: string, words: readonly string[]): void {
  const [name = '', ...rest] = words;
  if (/^(?:cp|mv|ln|install)$/u.test(name)) noteCopy(run, from, words);
  const isChange = name === 'tee' || (name === 'sed' && rest.some((word) => /^-[a-zA-Z]*i|^--in-place/u.test(word)));
  if (isChange) for (const word of rest) if (isKnown(word)) run.world.change(joinPath(from, word));
}

/** Notes what `cp`, `mv`, `ln` or `install` puts at another path, where one file or directory is named. */
function noteCopy({ world }: Run, from: string, [name, ...words]: readonly string[]): void {
  if (words.some((word) => /^-[a-zA-Z]*[tdgom]$|^--/u.test(word))) return;
  const [source = '', target = '', ...others] = words.filter((word) => !word.startsWith('-'));
  if (others.length > 0 || source === '' || target === '' || !isKnown(source + target + from)) return;
  const path = joinPath(from, target);
  const isDirectory = target.endsWith('/') || world.at(path).type === 'directory';
  const to = isDirectory ? joinPath(path, baseName(source)) : path;
  const base = name === 'ln' ? to.slice(0, to.lastIndexOf('/')) : from;
  world.touch(to, joinPath(base, source));
}

/** Reports whether what a command writes to standard output goes to a file or to standard error. */
export const isElsewhere = (redirects: readonly Redirect[]): boolean =>
  redirects.some(({ descriptor, operator, target }) => {
    const to = literalOf(target) ?? '';
    const isAway = operator === '>&' ? /^[2-]$/u.test(to) : !/^\/(?:dev\/(?:stdout|fd\/)|proc\/)/u.test(to);
    return /^&?>/u.test(operator) && /^1?$/u.test(descriptor) && isAway;
  });

/** Returns what a command reads on standard input. */
export function inputOf(run: Run, state: State, redirects: readonly Redirect[]): string | undefined {
  const redirected = redirects.findLast(
    ({ descriptor, operator }) => descriptor.replace('0', '') === '' && /^<(?:<[<-]?)?$/u.test(operator),
  );
  if (redirected === undefined) return state.input;
  const [part, ...others] = redirected.target;
  if (part?.kind === 'process' && others.length === 0) {
    return expandText(run, { state }, [{ kind: 'command', body: part.body, quoted: true }]);
  }
  const text = expandText(run, { state }, redirected.target);
  if (redirected.operator.includes('<<')) return text;
  const file = isKnown(text) ? run.world.at(joinPath(state.directory, text), true) : undefined;
  return file?.type === 'file' ? (file.text ?? UNKNOWN) : UNKNOWN;
}
