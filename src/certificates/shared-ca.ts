import type { Clock } from '../util/clock.ts';
import { createAuthority, type SigningCa } from './authority.ts';
import {
  applyStep,
  type CaState,
  nextStep,
  readCaState,
  type RotationTimes,
  type Situation,
  writeCaState,
} from './rotation.ts';

/** What a replica did to the shared CAs. `restore`: what it had in memory was written back. */
type CaChange = 'create' | 'restore' | 'prepare' | 'drop-next' | 'promote' | 'retire';

interface SharedCaOptions {
  readonly store: CaStore;
  readonly clock: Clock;
  readonly times: RotationTimes;
  /** Milliseconds that a CA lives. */
  readonly lifetimeMs: number;
}

/** The CAs of the Secret, with a memory of the last good ones. */
export interface SharedCa {
  /** The last good content of the Secret; undefined: there was none so far. */
  readonly state: CaState | undefined;
  /** Whether that is what the Secret holds now, as far as can be known. */
  readonly certain: boolean;
  /** What is wrong with the Secret as it was last seen. */
  readonly problem: string | undefined;
  /** Takes note of what the store holds. */
  look(): void;
  /** Changes the Secret if it is time to. Rejects as the store does. */
  advance(carried: Situation['carried']): Promise<{ change: CaChange; why: string; written: Written } | undefined>;
}

/** Milliseconds in which replicas that know the CA repair a Secret, before one that does not makes a new CA. */
const GRACE_MS = 5000;

type Present = Extract<Stored, { state: 'present' }>;

interface Memory {
  stored: Stored;
  state: CaState | undefined;
  usable: boolean;
  problem: string | undefined;
  /** Since when the content is what it is, monotonic. */
  since: number;
  content: string;
}

function take(memory: Memory, stored: Stored, now: number): void {
  memory.stored = stored;
  memory.usable = false;
  memory.problem = stored.state === 'present' ? undefined : stored.problem;
  let content: string = stored.state;
  if (stored.state === 'present') {
    const { state, problems } = readCaState(stored.data);
    memory.usable = state !== undefined;
    memory.state = state ?? memory.state;
    memory.problem = problems.length > 0 ? problems.join('; ') : undefined;
    content = JSON.stringify(stored.data);
    if (state === undefined && !stored.ours) {
      memory.problem = `${memory.problem}; it does not bear our label, so it is left alone: delete it or choose another name`;
    }
  }
  // Labels change, and the API server is lost and found, without a change of the CAs.
  if (stored.state === 'unseen' || content === memory.content) return;
  memory.content = content;
  memory.since = now;
}

type Advance = Awaited<ReturnType<SharedCa['advance']>>;

async function fill(memory: Memory, { store }: SharedCaOptions, create: () => Promise<SigningCa>): Promise<Advance> {
  const known = memory.state;
  const written = await store.create(writeCaState(known ?? { current: await create() }));
  if (known === undefined) return { change: 'create', why: 'there was none', written };
  return { change: 'restore', why: 'the Secret was deleted', written };
}

async function repair(
  memory: Memory,
  stored: Present,
  { store, clock }: SharedCaOptions,
  create: () => Promise<SigningCa>,
): Promise<Advance> {
  const known = memory.state;
  if (!stored.ours || (known === undefined && clock.monotonic() - memory.since < GRACE_MS)) return undefined;
  const data = writeCaState(known ?? { current: await create() });
  const written = await store.replace(stored.version, data, false);
  return { change: known === undefined ? 'create' : 'restore', why: memory.problem ?? '', written };
}

async function step(
  memory: Memory,
  stored: Present,
  state: CaState,
  options: SharedCaOptions,
  more: { carried: Situation['carried']; create: () => Promise<SigningCa> },
): Promise<Advance> {
  const { store, clock, times } = options;
  const now = clock.now();
  const seen = clock.monotonic() - memory.since;
  const next = nextStep({ state, asked: stored.asked, carried: more.carried, seen }, times, now);
  if (next.do === 'wait') return undefined;
  const data = writeCaState(await applyStep(state, next, now, more.create));
  const written = await store.replace(stored.version, data, next.do === 'prepare');
  return { change: next.do, why: next.do === 'prepare' ? next.why : 'it is time', written };
}

/** Follows the Secret and decides, with every other replica doing the same, on changes: the first write wins. */
export function sharedCa(options: SharedCaOptions): SharedCa {
  const { store, clock, lifetimeMs } = options;
  const memory: Memory = {
    stored: { state: 'unseen' },
    state: undefined,
    usable: false,
    problem: undefined,
    since: clock.monotonic(),
    content: '',
  };
  const create = (): Promise<SigningCa> => createAuthority({ now: clock.now(), lifetimeMs });
  return {
    get state() {
      return memory.state;
    },
    get certain() {
      return memory.usable && store.inContact;
    },
    get problem() {
      return memory.problem;
    },
    look() {
      if (store.seen !== memory.stored) take(memory, store.seen, clock.monotonic());
    },
    async advance(carried) {
      const { stored, state, usable } = memory;
      if (!store.inContact) return undefined;
      if (stored.state !== 'present') {
        return stored.state === 'absent' ? await fill(memory, options, create) : undefined;
      }
      if (!usable || state === undefined) return await repair(memory, stored, options, create);
      return await step(memory, stored, state, options, { carried, create });
    },
  };
}

/** The Secret as it was last seen. */
export type Stored =
  /** Not read yet, or not there; `problem`: the last thing that went wrong. */
  | { readonly state: 'unseen' | 'absent'; readonly problem?: string }
  | {
      readonly state: 'present';
      /** Of this content; a write names it, and fails where it is not the latest any more. */
      readonly version: string;
      /** Decoded, by key. */
      readonly data: Readonly<Record<string, string>>;
      /** Whether it bears our label: nobody else's Secret is overwritten. */
      readonly ours: boolean;
      /** Somebody asks for a new CA, by annotation. */
      readonly asked: boolean;
    };

/** `conflict`: another replica was faster; what it wrote will be seen. */
export type Written = 'written' | 'conflict';

export type CaData = Readonly<Record<string, string | undefined>>;

/** Where the replicas keep the CAs they share. Owned here; `kubernetes/` implements it with a Secret. */
export interface CaStore {
  readonly seen: Stored;
  /** Whether changes by others are heard of: false while the API server cannot be reached. */
  readonly inContact: boolean;
  /** Calls back when `seen` has changed. */
  onChange(listener: () => void): void;
  /** Rejects where it fails for any reason but a conflict; the message holds no keys. */
  create(data: CaData): Promise<Written>;
  /** As `create`. Keys that are undefined are removed; `answered`: what was asked for is done. */
  replace(version: string, data: CaData, answered: boolean): Promise<Written>;
  close(): Promise<void>;
}
