/** The syntax tree of a shell text: POSIX.1-2024 XCU 2 and what bash adds to it. */
export type Command =
  | SimpleCommand
  | { readonly kind: 'pipeline'; readonly negated: boolean; readonly commands: readonly Command[] }
  | { readonly kind: 'and-or'; readonly left: Command; readonly operator: '&&' | '||'; readonly right: Command }
  | { readonly kind: 'background'; readonly command: Command }
  | { readonly kind: 'group'; readonly body: Commands; readonly redirects: readonly Redirect[] }
  | { readonly kind: 'subshell'; readonly body: Commands; readonly redirects: readonly Redirect[] }
  | { readonly kind: 'if'; readonly branches: readonly Branch[]; readonly otherwise: Commands }
  | { readonly kind: 'loop'; readonly until: boolean; readonly condition: Commands; readonly body: Commands }
  /** `words` is undefined for `for NAME; do`, which goes over `"$@"`. `select` is one, too. */
  | {
      readonly kind: 'for';
      readonly name: string;
      readonly words: readonly Word[] | undefined;
      readonly body: Commands;
    }
  /** `for (( … ))`: its number of rounds is not worked out. */
  | { readonly kind: 'counting'; readonly body: Commands }
  | { readonly kind: 'case'; readonly subject: Word; readonly arms: readonly CaseArm[] }
  | { readonly kind: 'function'; readonly name: string; readonly body: Command }
  /** `[[ … ]]`. */
  | { readonly kind: 'test'; readonly words: readonly TestWord[] }
  /** `(( … ))`. */
  | { readonly kind: 'arithmetic'; readonly text: Word };

export type Commands = readonly Command[];

export interface SimpleCommand {
  readonly kind: 'simple';
  readonly assignments: readonly Assignment[];
  readonly words: readonly Word[];
  readonly redirects: readonly Redirect[];
}

interface Branch {
  readonly condition: Commands;
  readonly body: Commands;
}

interface CaseArm {
  readonly patterns: readonly Word[];
  readonly body: Commands;
  /** `;&` goes on with the next body, `;;&` with the next pattern. */
  readonly end: ';;' | ';&' | ';;&';
}

export interface Assignment {
  readonly name: string;
  readonly append: boolean;
  /** Of `NAME[index]=value`. */
  readonly index: Word | undefined;
  readonly value: Word;
}

export interface Redirect {
  /** The number in front of the operator; empty if there is none. */
  readonly descriptor: string;
  readonly operator: string;
  /** The file, or the text of a here-document or here-string. */
  readonly target: Word;
}

/** An operator of `[[ … ]]` (`&&`, `<`), or a word of it. */
export type TestWord = { readonly operator: string } | { readonly word: Word };

export type Word = readonly Part[];

export type Part =
  | { readonly kind: 'text'; readonly text: string; readonly quoted: boolean }
  | Parameter
  | { readonly kind: 'command'; readonly body: Commands; readonly quoted: boolean }
  | { readonly kind: 'arithmetic'; readonly text: Word; readonly quoted: boolean }
  /** `( … )` behind an assignment. */
  | { readonly kind: 'array'; readonly words: readonly Word[] }
  /** A process substitution. It is a file whose content is not known; its commands run. */
  | { readonly kind: 'process'; readonly body: Commands };

/** `$NAME` or `${NAME…}`. */
export interface Parameter {
  readonly kind: 'parameter';
  readonly name: string;
  /** `#`: its length. `!`: the parameter that it names. */
  readonly prefix: '' | '#' | '!';
  /** The text between brackets; undefined without brackets. */
  readonly index: Word | undefined;
  /** `:-`, `##`, `/`, `:` (a part of it), `^^`, …; empty for the plain value. */
  readonly operator: string;
  readonly argument: Word;
  readonly quoted: boolean;
}

/** A shell text, read. */
export interface ShellText {
  readonly commands: Commands;
  /** Why it was not read to its end; undefined if it was. */
  readonly broken: string | undefined;
}
