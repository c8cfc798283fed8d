// The kernel reads no more of the first line (fs/binfmt_script.c, BINPRM_BUF_SIZE).
const maxLine = 256;

/** Reports whether a file is a `#!` script. */
export function isScript(prefix: Uint8Array): boolean {
  return prefix[0] === 0x23 && prefix[1] === 0x21;
}

/** Returns the words of a script's `#!` line; empty if it has none. */
export function shebangOf(text: string): readonly string[] {
  const line = /^#![ \t]*(?<line>[^\n]*)/u.exec(text.slice(0, maxLine))?.groups?.['line']?.trim() ?? '';
  const blank = line.search(/[ \t]/u);
  if (blank === -1) return line === '' ? [] : [line];
  // The rest of the line is one argument, blanks included (execve(2)).
  return [line.slice(0, blank), line.slice(blank).trim()];
}

/** How a shell is called: with a text (`-c`), or with the script `zero`. */
export interface ShellArguments {
  readonly text: string | undefined;
  /** `$0`. */
  readonly zero: string;
  readonly parameters: readonly string[];
  /** It reads /etc/profile first. */
  readonly isLogin: boolean;
}

const valued = /^(?:--rcfile|--init-file|[-+][A-Za-z]*[oO])$/u;

/** Reads a shell's arguments (POSIX.1-2024 XCU sh, bash(1)); undefined if it reads its commands from standard input. */
export function shellArguments([program = '', ...words]: readonly string[]): ShellArguments | undefined {
  let at = 0;
  while (/^[-+]./u.test(words[at] ?? '') && words[at] !== '--') at += valued.test(words[at] ?? '') ? 2 : 1;
  const options = words.slice(0, at);
  if (options.some((word) => /^-[A-Za-z]*s/u.test(word))) return undefined;
  const isLogin = options.some((word) => /^-[A-Za-z]*l|^--login$/u.test(word));
  const hasText = options.some((word) => /^-[A-Za-z]*c/u.test(word));
  if (words[at] === '--' || words[at] === '-') at += 1;
  const [first = '', ...rest] = words.slice(at);
  if (first === '') return undefined;
  if (!hasText) return { text: undefined, zero: first, parameters: rest, isLogin };
  const [zero = program, ...parameters] = rest;
  return { text: first, zero, parameters, isLogin };
}
