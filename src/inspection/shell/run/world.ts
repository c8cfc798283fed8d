import type { Invocation } from '../../command/invocation.ts';
import type { Outcome } from '../../command/outcome.ts';

/** What an image has at a path, links followed. */
export type FileAt =
  | {
      readonly type: 'file';
      readonly executable: boolean;
      readonly text: string | undefined;
      /** The path is a symbolic link. */
      readonly linked: boolean;
      /** Absolute. */
      readonly path: string;
    }
  | { readonly type: 'directory'; readonly path: string }
  | { readonly type: 'absent' }
  /** Too little of the image is known, or a volume lies over it. */
  | { readonly type: 'unseen' };

/** What a shell that is followed finds around it. */
export interface World {
  /** The image's architecture, as Go names it; empty if it is not known. */
  readonly architecture: string;
  /** Looks at an absolute path. `wanted`: the run cannot be followed without the file's text. */
  at(path: string, wanted?: boolean): FileAt;
  /** Returns the first of these programs in PATH; undefined if it is not known. */
  which(name: string, invocation: Pick<Invocation, 'env' | 'directory'>): string | undefined;
  /** Follows a program that the shell starts. */
  start(invocation: Invocation): Outcome;
  /** Notes that a running command may write this file; `source`: what it copies or links there, absolute. */
  touch(path: string, source?: string): void;
  /** Notes that a running command writes this file: its text is no longer the image's. */
  change(path: string): void;
  /** Returns the files below a directory whose paths end so; undefined if there may be others. */
  below(directory: string, end: string): readonly string[] | undefined;
  /** Returns the paths that match an absolute pattern; undefined if there may be others. */
  matching(pattern: string): readonly string[] | undefined;
  /** Runs `work` one level deeper. Throws {@link TooLong} when it is nested too deeply. */
  nest<T>(work: () => T): T;
  /** Counts work. Throws {@link TooLong} when there was too much of it. */
  spend(steps: number): void;
}

/** Following the shells of one container took too many steps. */
export class TooLong extends Error {
  override readonly name = 'TooLong';
}
