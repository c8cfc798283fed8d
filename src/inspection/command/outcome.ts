import type { EntryPlace, FileContent } from '../overlay.ts';

/** Where a program is, as far as the layers are known. */
export type Located =
  | {
      readonly status: 'found';
      readonly path: string;
      readonly content: FileContent;
      readonly layer: number;
      /** The entry of the layer that has the bytes: another path if the program is a hard link. */
      readonly origin: string;
      /** The entries that led to it: links and scripts, and its own. */
      readonly entries: readonly EntryPlace[];
      /** Layers that may hold another file which hides this one. */
      readonly doubts: readonly number[];
      /** Paths of such a file. */
      readonly rivals: readonly string[];
      /** Paths that PATH names before, and that the rest of its own layer may hold. */
      readonly earlier: readonly string[];
    }
  /** The program, or a script that leads to it, may be at one of `paths`, in one of `layers`. */
  | { readonly status: 'unseen'; readonly paths: readonly string[]; readonly layers: readonly number[] }
  | { readonly status: 'absent'; readonly name: string }
  /** Which program it is cannot be told. */
  | { readonly status: 'hidden'; readonly why: string };

export type Found = Extract<Located, { status: 'found' }>;
export type Unseen = Extract<Located, { status: 'unseen' }>;

/** A program that a container may run: the end of all wrappers, shells and scripts. */
export interface Program {
  /** The same for the same program in the same circumstances. */
  readonly key: string;
  readonly located: Located;
  /** The dynamic loader that the command line calls to run it; its libc counts then, not the program's interpreter. */
  readonly loader?: string;
  /** Environment that it runs in. */
  readonly env: ReadonlyMap<string, string>;
  /** The name by which it is run resolves no names: `sleep`, `chown`, `tee`. */
  readonly isUtility: boolean;
  /** The first word of the command line alone names it: no wrapper, shell or script led to it. */
  readonly direct: boolean;
  /** Where the file was not seen: what runs it by its name, such as python for gunicorn, busybox for wget. */
  readonly runBy?: Located;
}

/** What running a command line leads to. */
export interface Outcome {
  /** What stays in the foreground. If several: one of them, or several at a time. */
  readonly stays: readonly Program[];
  /** What runs in the background meanwhile, or before in the foreground and need not have ended. */
  readonly beside: readonly Program[];
  /** What has ended before what stays began. */
  readonly passing: readonly Program[];
}

/** Nothing was run. */
export const nothing: Outcome = { stays: [], beside: [], passing: [] };

/** Returns a program that cannot be told; `why` says so to people. */
export function hiddenProgram(why: string): Program {
  return { key: `hidden ${why}`, located: { status: 'hidden', why }, env: new Map(), isUtility: false, direct: false };
}
