import type { Run } from './run.ts';
import { joined, settled, type State, stateKey, withFlow, withStatus, withVariable } from './state.ts';
import type { Command, Commands } from '../syntax.ts';
import { ANY_WORDS, UNKNOWN } from './values.ts';

/** Most rounds of a loop that are followed one by one. */
const mostRounds = 24;
/** Rounds that are kept apart although the loop may end before each. */
const knownRounds = 2;

/** States that leave a loop, and states that go on to its next round. */
interface Round {
  readonly out: State[];
  readonly on: State[];
}

/** Follows `while` and `until`. A loop that does not end is where the shell stays. */
export function followLoop(run: Run, state: State, loop: Extract<Command, { kind: 'loop' }>): readonly State[] {
  const out: State[] = [];
  const seen = new Set<string>();
  let current: readonly State[] = [state];
  for (let round = 0; round < mostRounds && current.length > 0; round += 1) {
    const fresh = current.filter((one) => !seen.has(stateKey(one)));
    // A round that begins like one before adds nothing: this loop has no other end than those seen.
    if (fresh.length === 0) return settled(run, [...out, ...endless(current, out)]);
    for (const one of fresh) seen.add(stateKey(one));
    const asked = settled(
      run,
      fresh.flatMap((one) => run.execute(one, loop.condition)),
    );
    const { entering, leaving } = decided(asked, loop.until);
    out.push(...leaving);
    const next = settled(run, entering).flatMap((one) => run.execute(one, loop.body));
    const { out: broken, on } = afterRound(next);
    out.push(...broken);
    // What grows with each round that may be the last (`LIST="$LIST $line"`) is unknown from then on.
    const isOpen = round >= knownRounds && (out.length > 0 || asked.some(({ status }) => status === undefined));
    current = isOpen ? joinedAll([...fresh, ...on]) : settled(run, on);
  }
  // Too many rounds: what they change is unknown behind the loop.
  return settled(run, [
    ...out,
    ...current.map((one) => withStatus({ ...joined(state, one), last: one.last }, undefined)),
  ]);
}

const joinedAll = (states: readonly State[]): readonly State[] => (states.length === 0 ? [] : [states.reduce(joined)]);

/** Returns the states of a shell that never leaves the loop; none if it may leave it. */
function endless(states: readonly State[], out: readonly State[]): readonly State[] {
  if (out.some(({ flow, status }) => flow === undefined || status !== 1)) return [];
  return states.map((state) => withFlow(withStatus(state, 0), { kind: 'exit' }));
}

function decided(states: readonly State[], until: boolean): { entering: readonly State[]; leaving: readonly State[] } {
  const open = states.filter(({ flow }) => flow === undefined);
  const [enters, leaves] = until ? ([1, 0] as const) : ([0, 1] as const);
  return {
    entering: open.filter(({ status }) => status !== leaves),
    leaving: [
      ...states.filter(({ flow }) => flow !== undefined),
      ...open.filter(({ status }) => status !== enters).map((state) => withStatus(state, 0)),
    ],
  };
}

function afterRound(states: readonly State[]): Round {
  const round: Round = { out: [], on: [] };
  for (const state of states) {
    const { flow } = state;
    if (flow === undefined) round.on.push(state);
    else if (flow.kind !== 'break' && flow.kind !== 'continue') round.out.push(state);
    else if (flow.levels > 1) round.out.push({ ...state, flow: { ...flow, levels: flow.levels - 1 } });
    else round[flow.kind === 'break' ? 'out' : 'on'].push({ ...state, flow: undefined });
  }
  return round;
}

interface ForLoop {
  readonly name: string;
  readonly words: readonly string[];
  readonly body: Commands;
}

/** Follows `for`. */
export function followFor(run: Run, state: State, { name, words, body }: ForLoop): readonly State[] {
  const out: State[] = [];
  let current: readonly State[] = [{ ...state, status: 0 }];
  for (const word of words.slice(0, mostRounds)) {
    const isMany = word === ANY_WORDS;
    const begun = current.map((one) => (name === '' ? one : withVariable(one, name, isMany ? UNKNOWN : word)));
    const { out: left, on } = afterRound(begun.flatMap((one) => run.execute(one, body)));
    out.push(...left);
    current = settled(run, isMany ? [...current, ...on] : on);
  }
  return settled(run, [...out, ...current]);
}
