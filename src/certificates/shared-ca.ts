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

/** What a replica did to the shared CAs. `restore`: it wrote back the CAs that it had in memory. */
type CaChange = 'create' | 'restore' | 'prepare' | 'drop-next' | 'promote' | 'retire';

interface SharedCaOptions {
  readonly store: CaStore;
  readonly clock: Clock;
  readonly times: RotationTimes;
  /** Milliseconds that a CA lives. */
  readonly lifetimeMs: number;
}

/** The CAs of the Secret, with a memory of the last valid ones. */
export interface SharedCa {
  /** The last valid content of the Secret; undefined: there was none so far. */
  readonly state: CaState | undefined;
  /** Whether the Secret still holds `state`, as far as this replica knows. */
  readonly certain: boolean;
  /** What is wrong with the Secret as it was last seen. */
  readonly problem: string | undefined;
  /** Reads what the store has seen. */
  update(): void;
  /** Changes the Secret if a change is due. Rejects as the store does. */
  advance(carried: Situation['carried']): Promise<{ change: CaChange; why: string; written: Written } | undefined>;
}

/** Milliseconds in which replicas that know the CA may repair a Secret, before one that does not know it creates a new CA. */
const GRACE_MS = 5000;

/** Follows the Secret and decides on changes, as every other replica does: the first write wins. */
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
    update() {
      if (store.seen !== memory.stored) remember(memory, store.seen, clock.monotonic());
    },
    async advance(carried) {
      const { stored, state, usable } = memory;
      if (!store.inContact) return undefined;
      if (stored.state !== 'present') {
        return stored.state === 'absent' ? await createSecret(memory, options, create) : undefined;
      }
      if (!usable || state === undefined) return await repairSecret(memory, stored, options, create);
      return await rotate(memory, stored, state, options, { carried, create });
    },
  };
}

type Present = Extract<Stored, { state: 'present' }>;

interface Memory {
  stored: Stored;
  state: CaState | undefined;
  usable: boolean;
  problem: string | undefined;
  /** When the content last changed, monotonic. */
  since: number;
  content: string;
}

function remember(memory: Memory, stored: Stored, now: number): void {
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
  // Only a change of the CAs resets `since`: not new labels, and not a lost connection.
  if (stored.state === 'unseen' || content === memory.content) return;
  memory.content = content;
  memory.since = now;
}

type Advance = Awaited<ReturnType<SharedCa['advance']>>;

async function createSecret(
  memory: Memory,
  { store }: SharedCaOptions,
  create: () => Promise<SigningCa>,
): Promise<Advance> {
  const known = memory.state;
  const written = await store.create(writeCaState(known ?? { current: await create() }));
  if (known === undefined) return { change: 'create', why: 'there was none', written };
  return { change: 'restore', why: 'the Secret was deleted', written };
}

async function repairSecret(
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

async function rotate(
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

/** The Secret as it was last seen. */
export type Stored =
  /** `unseen`: not read yet. `problem`: the last error. */
  | { readonly state: 'unseen' | 'absent'; readonly problem?: string }
  | {
      readonly state: 'present';
      /** The resourceVersion. A write names it, and fails if it is no longer the latest. */
      readonly version: string;
      /** Decoded, by key. */
      readonly data: Readonly<Record<string, string>>;
      /** Whether it has our label: Secrets of others are not overwritten. */
      readonly ours: boolean;
      /** Whether a person asks for a new CA by annotation. */
      readonly asked: boolean;
    };

/** `conflict`: another replica was faster; the watch will bring its write. */
export type Written = 'written' | 'conflict';

export type CaData = Readonly<Record<string, string | undefined>>;

/** Where the replicas keep the CAs they share; `ca-secret.ts` implements it with a Secret. */
export interface CaStore {
  readonly seen: Stored;
  /** Whether changes by others arrive: false while the API server cannot be reached. */
  readonly inContact: boolean;
  /** Calls `listener` when `seen` has changed. */
  onChange(listener: () => void): void;
  /** Rejects if it fails for any reason except a conflict; the message holds no keys. */
  create(data: CaData): Promise<Written>;
  /** As `create`. Removes keys whose value is undefined; `answered`: also removes a person's request for a new CA. */
  replace(version: string, data: CaData, answered: boolean): Promise<Written>;
  close(): Promise<void>;
}
