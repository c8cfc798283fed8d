import { type Ca, privatePem, readCa, readSigningCa, type SigningCa } from './authority.ts';
import { CertificateError } from './source.ts';

/**
 * The CAs that the replicas share. All of them are trusted; only `current` signs. The Secret's keys are `current.crt`,
 * `current.key`, `next.crt`, `next.key`, `previous.crt` (PEM) and `promoted` (RFC 3339).
 */
export interface CaState {
  readonly current: SigningCa;
  /** Signs as soon as every API server trusts it. */
  readonly next?: SigningCa;
  /** The CA that signed before: replicas may still serve its certificates. Its key is deleted. */
  readonly previous?: Ca;
  /** When `current` took over from `previous`, milliseconds since the epoch. */
  readonly promotedAt?: number;
}

/** What one replica knows when it decides on the shared CAs. Durations are milliseconds. */
export interface Situation {
  readonly state: CaState;
  /** Whether a person asks for a new CA. */
  readonly asked: boolean;
  /** Returns how long this replica has seen the registration carry a CA without a break; 0: it does not, or is not known. */
  readonly carried: (ca: Ca) => number;
  /** How long this replica has seen this state unchanged. */
  readonly seen: number;
}

/** Milliseconds. */
export interface RotationTimes {
  /** From a CA's first appearance in the registration until every API server is sure to trust it. */
  readonly overlap: number;
  /** From a change of the signing CA until all certificates of the old one have expired: a leaf's lifetime. */
  readonly retire: number;
}

/** `invalid`: the current CA is expired, or not valid yet. */
type PrepareReason = 'due' | 'asked' | 'invalid';

/**
 * The next change of the shared state, made by the replica that sees first that it is due:
 *
 *     current                 --prepare-->   current, next
 *     current, next           --promote-->   next as current, current as previous   (after `overlap`, carried)
 *     current, previous       --retire-->    current                                (after `retire`)
 *
 * `drop-next` removes a next CA that cannot be used.
 */
export type Step =
  | { readonly do: 'wait' }
  | { readonly do: 'prepare'; readonly why: PrepareReason }
  | { readonly do: 'drop-next' }
  | { readonly do: 'promote'; readonly next: SigningCa }
  | { readonly do: 'retire' };

/**
 * Longest wait in milliseconds before a next CA replaces an unusable current one. Not 0: a replica whose clock is a year
 * ahead is alone in finding it unusable, and the others remove its `next` in this time.
 */
const URGENT_MS = 10_000;

export function isValid({ notBefore, notAfter }: Ca, now: number): boolean {
  return notBefore <= now && now < notAfter;
}

/** Reports whether two thirds of its lifetime are over, as in cert-manager: a third remains for the change-over. */
function isDue({ notBefore, notAfter }: Ca, now: number): boolean {
  return now >= notBefore + ((notAfter - notBefore) * 2) / 3;
}

/** Returns what to change now. `now`: milliseconds since the epoch; compared only with the dates of certificates. */
export function nextStep(situation: Situation, times: RotationTimes, now: number): Step {
  const { current, next, previous, promotedAt } = situation.state;
  if (next !== undefined) return withNext(next, situation, times, now);
  if (!isValid(current, now)) return { do: 'prepare', why: 'invalid' };
  if (situation.asked) return { do: 'prepare', why: 'asked' };
  if (isDue(current, now)) return { do: 'prepare', why: 'due' };
  if (previous !== undefined && situation.seen >= times.overlap) {
    const gone = promotedAt !== undefined && now >= promotedAt + times.retire;
    if (gone || now >= previous.notAfter) return { do: 'retire' };
  }
  return { do: 'wait' };
}

function withNext(next: SigningCa, { state, carried, seen }: Situation, times: RotationTimes, now: number): Step {
  if (!isValid(next, now)) return { do: 'drop-next' };
  if (!isValid(state.current, now)) {
    return seen >= Math.min(times.overlap, URGENT_MS) ? { do: 'promote', next } : { do: 'wait' };
  }
  return carried(next) >= times.overlap && seen >= times.overlap ? { do: 'promote', next } : { do: 'wait' };
}

/** Returns the state after `step`; `create` creates a CA if the step needs one. */
export async function applyStep(
  state: CaState,
  step: Exclude<Step, { do: 'wait' }>,
  now: number,
  create: () => Promise<SigningCa>,
): Promise<CaState> {
  switch (step.do) {
    case 'prepare':
      return { ...state, next: await create() };
    case 'promote': {
      const { key: _forgotten, ...previous } = state.current;
      return { current: step.next, previous, promotedAt: now };
    }
    case 'retire':
      return { current: state.current };
    default: {
      const { next: _dropped, ...rest } = state;
      return rest;
    }
  }
}

interface ReadCaState {
  /** Undefined if there is no usable current CA. */
  readonly state: CaState | undefined;
  /** What is wrong with each part that cannot be used. */
  readonly problems: readonly string[];
}

type Data = Readonly<Record<string, string>>;

/** Most characters of a value that are read: chains of RSA certificates are far smaller. */
const MOST_CHARACTERS = 65_536;

function part<T>(
  problems: string[],
  data: Data,
  keys: readonly string[],
  read: (...pem: string[]) => T,
): T | undefined {
  const texts = keys.map((key) => data[key] ?? '');
  if (texts.every((text) => text === '')) return undefined;
  try {
    for (const [index, text] of texts.entries()) {
      if (text === '') throw new CertificateError(`${keys[index]}: missing`);
      if (text.length > MOST_CHARACTERS) throw new CertificateError(`${keys[index]}: longer than ${MOST_CHARACTERS}`);
    }
    return read(...texts);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    problems.push(error.message);
    return undefined;
  }
}

/** Reads the decoded data of the Secret. Never throws: invalid content is returned as problems. */
export function readCaState(data: Data): ReadCaState {
  const problems: string[] = [];
  const signing = (name: string): SigningCa | undefined =>
    part(problems, data, [`${name}.crt`, `${name}.key`], (cert = '', key = '') => readSigningCa(cert, key, name));
  const current = signing('current');
  const next = signing('next');
  const previous = part(problems, data, ['previous.crt'], (cert = '') => readCa(cert, 'previous'));
  if (current === undefined) {
    return { state: undefined, problems: problems.length > 0 ? problems : ['current.crt: missing'] };
  }
  const promotedAt = Date.parse(data['promoted'] ?? '');
  return {
    state: {
      current,
      ...(next !== undefined && next.id !== current.id && { next }),
      ...(previous !== undefined && previous.id !== current.id && { previous }),
      ...(!Number.isNaN(promotedAt) && { promotedAt }),
    },
    problems,
  };
}

/** Returns the data of the Secret; an undefined value means that the key has to be removed. */
export function writeCaState({ current, next, previous, promotedAt }: CaState): Record<string, string | undefined> {
  return {
    'current.crt': current.cert,
    'current.key': privatePem(current.key),
    'next.crt': next?.cert,
    'next.key': next === undefined ? undefined : privatePem(next.key),
    'previous.crt': previous?.cert,
    promoted: promotedAt === undefined ? undefined : new Date(promotedAt).toISOString(),
  };
}

/** Returns all CAs that API servers have to trust. */
export function trustedCas({ current, next, previous }: CaState): readonly Ca[] {
  return [current, ...(next === undefined ? [] : [next]), ...(previous === undefined ? [] : [previous])];
}
