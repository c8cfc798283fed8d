import type { Program } from '../../command/outcome.ts';
import type { Deciding } from '../deciding.ts';
import type { State } from './state.ts';
import type { Command, Commands, Redirect, Word } from '../syntax.ts';
import type { World } from './world.ts';

/** One shell that is followed. */
export interface Run {
  readonly world: World;
  /** The shell understands bash's own parameters and built-ins. */
  readonly isBash: boolean;
  /** Programs that ran in the foreground, the last ones among them. */
  readonly ran: Map<string, Program>;
  /** Programs that have surely ended, or only the shell's own questions. */
  readonly passed: Map<string, Program>;
  /** Programs that were started in the background. */
  readonly beside: Map<string, Program>;
  readonly deciding: Deciding;
  /** Follows commands, each on every state that the ones before may leave. */
  execute(state: State, commands: Commands): readonly State[];
  /** Follows one command. */
  step(state: State, command: Command): readonly State[];
}

/** What a command substitution may write, and the exit status that it then has. */
export interface Written {
  readonly output: string;
  readonly status: State['status'];
}

/** The state of a shell while one command's words are expanded: `${X:=y}` changes it. */
export interface Scope {
  state: State;
  /** The output that is taken for a command substitution. */
  readonly picked?: (Written & { readonly body: Commands }) | undefined;
  /** The first command substitution whose output depends on what is not known. */
  several?: { readonly body: Commands; readonly outputs: readonly Written[] };
}

/** A command that the shell itself runs. */
export interface Call {
  readonly run: Run;
  readonly state: State;
  readonly name: string;
  /** Its arguments. */
  readonly words: readonly string[];
  /** The same before expansion. */
  readonly raw: readonly Word[];
  readonly redirects: readonly Redirect[];
  /** The state with the variables that stand in front of the command. */
  readonly inner: State;
}
