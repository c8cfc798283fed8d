import { parseBoundedJson } from '../../util/json-bounds.ts';
import { isObject } from '../../util/json.ts';
import { baseName } from './invocation.ts';

/** Which other programs a script of Python, Node, Ruby, Perl or PHP may start. Nothing of it is run: its text is searched. */
export interface Starts {
  /** What may be command lines: texts of the script, and its own arguments. The caller keeps those that are programs. */
  readonly commands: readonly (readonly string[])[];
  /** The script ends in `exec`: what it starts replaces it. */
  readonly replaced: boolean;
  /** It may resolve names before. */
  readonly mayResolve: boolean;
}

interface Language {
  readonly starts: RegExp;
  /** Its own arguments. */
  readonly args: RegExp;
  /** A last statement, outside of any block, that replaces the interpreter. */
  readonly replaces: RegExp;
}

// Modules of these languages that speak to other hosts.
const network = /\b(?:socket|https?|urllib\w*|requests|httpx|boto3?|psycopg\w*|redis|mysql\w*|LWP|net)\b/u;
const never = /(?!)/u;
const languages: readonly (readonly [RegExp, Language])[] = [
  [
    /^(?:python|pypy)/u,
    {
      starts: /\bos\.(?:exec|spawn|popen|system)|\bsubprocess\b|\bexec[lv]p?e?\(/u,
      args: /\bargv\b/u,
      replaces: /^(?:os\.)?exec[lv]p?e?\(/u,
    },
  ],
  [/^(?:node|nodejs|bun|deno)/u, { starts: /\bchild_process\b|\bexeca\b/u, args: /\bargv\b/u, replaces: never }],
  [/^ruby/u, { starts: /\b(?:exec|system|spawn|popen)\b/u, args: /\bARGV\b/u, replaces: /^exec\b/u }],
  [/^perl/u, { starts: /\b(?:exec|system)\b/u, args: /\bARGV\b/u, replaces: /^exec\b/u }],
  [
    /^php/u,
    { starts: /\b(?:pcntl_exec|passthru|system|proc_open|shell_exec|exec)\b/u, args: /\bargv\b/u, replaces: never },
  ],
];

const longestText = 64 * 1024;
const mostLiterals = 400;

/** Returns what a script that is run by an interpreter of this name may start; undefined if nothing shows that it starts any. */
export function startsOf(interpreter: string, text: string, args: readonly string[]): Starts | undefined {
  const name = baseName(interpreter);
  const language = languages.find(([names]) => names.test(name))?.[1];
  if (language === undefined || text.length > longestText || !language.starts.test(text)) return undefined;
  const literals = literalsIn(text);
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  const own = (source: string): (readonly string[])[] => (language.args.test(source) && args.length > 0 ? [args] : []);
  const named = [...own(last), ...literals.filter(([first = '']) => last.includes(first))];
  // The last statement may name it by a variable.
  const replaced = language.replaces.test(last) && named.length > 0;
  return { commands: replaced ? named : [...own(text), ...literals], replaced, mayResolve: network.test(text) };
}

/** Returns the texts between quotes that may be programs: paths, and what begins a call or a list. */
function literalsIn(text: string): readonly (readonly string[])[] {
  const found: string[][] = [];
  for (const [, before = '', , literal = ''] of text.matchAll(
    /([([]?)\s{0,8}(["'`])([\w./+-][^"'`\\\n$]{0,400})\2/gu,
  )) {
    if (found.length >= mostLiterals) break;
    const words = literal.split(/\s+/u);
    if (before !== '' || literal.startsWith('/')) found.push(words);
  }
  return found;
}

/**
 * Returns the shell text that npm, yarn or pnpm runs for its words, from the text of package.json; undefined if they run none
 * (https://docs.npmjs.com/cli/commands/npm-run-script).
 */
export function packageScript(words: readonly string[], text: string): string | undefined {
  const given = words.filter((word) => !word.startsWith('-'));
  const named = /^run(?:-script)?$/u.test(given[0] ?? '') ? given[1] : given[0];
  const parsed = parseBoundedJson(Buffer.from(text), { depth: 32, values: 5000 });
  const scripts: unknown = isObject(parsed) ? parsed['scripts'] : undefined;
  const script: unknown =
    isObject(scripts) && named !== undefined && Object.hasOwn(scripts, named) ? scripts[named] : '';
  return typeof script === 'string' && script !== '' ? script : undefined;
}

/** Returns the script among an interpreter's words, and its arguments; undefined if a module or text is run. */
export function scriptOf(
  words: readonly string[],
): { readonly path: string; readonly args: readonly string[] } | undefined {
  const at = words.findIndex((word) => !word.startsWith('-') || /^-[cmepr]$/u.test(word));
  const path = words[at];
  return path === undefined || path.startsWith('-') ? undefined : { path, args: words.slice(at + 1) };
}
