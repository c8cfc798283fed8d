import type { Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

import { encodeQuery, newId, readAnswer, type RecordType } from '../../util/dns-message.ts';
import { counted } from '../../util/text.ts';
import { type Advice, failure, ok, type Outcome, warning } from '../check.ts';
import { askUdp, type DnsServer, openUdp, shownMs, whenLate } from './ask.ts';

export interface RaceLimits {
  /** Look-ups to measure. */
  readonly pairs: number;
  /** Milliseconds after which a packet counts as lost. */
  readonly lostMs: number;
  /** The measurement stops after this many lost look-ups. */
  readonly enough: number;
  /** Milliseconds for the whole measurement. */
  readonly totalMs: number;
}

/** A hundred look-ups of a few milliseconds take about a second; each lost one adds `lostMs`. */
export const RACE_LIMITS: RaceLimits = { pairs: 100, lostMs: 1000, enough: 5, totalMs: 15_000 };

/** The result of A and AAAA sent at once from one new socket, hence from a new source port. */
interface Pair {
  /** Milliseconds until both answers had come; undefined if one was lost. */
  readonly ms?: number;
  readonly lost: readonly RecordType[];
  /** Whether the lost queries were answered when sent again from the same socket, as resolvers do. */
  readonly again?: boolean;
}

interface Race {
  readonly pairs: readonly Pair[];
  /** Queries sent one at a time, each from a new socket: what the path loses without a race. */
  readonly alone: { readonly sent: number; readonly lost: number };
}

/**
 * Single queries sent once a pair lost a packet: `each` per look-up, at least `least`. If pairs lose five packets and single
 * queries lose none, chance alone explains that in less than one of a hundred measurements.
 */
const ALONE = { each: 4, least: 100, enoughLost: 3 } as const;

/**
 * Measures how often a resolver that asks for A and AAAA at once loses a packet. Each look-up uses a new socket, hence a source
 * port that conntrack has not seen. Single queries in between show what the path loses without a race. Ends early when enough
 * was lost or the signal aborts. Rejects if no socket can be opened.
 */
export async function measureRace(
  server: DnsServer,
  name: string,
  { pairs, lostMs, enough, totalMs }: RaceLimits,
  signal: AbortSignal,
): Promise<Race> {
  const until = performance.now() + totalMs;
  const measured: Pair[] = [];
  const alone = { sent: 0, lost: 0 };
  let lost = 0;
  const askAlone = async (): Promise<void> => {
    const { answer } = await askUdp(server, name, lostMs);
    alone.sent += 1;
    if (answer === undefined) alone.lost += 1;
    // A pause, so that the measurement itself does not load the server.
    await sleep(1);
  };
  const goesOn = (): boolean => performance.now() < until && !signal.aborted;
  while (measured.length < pairs && lost < enough && goesOn()) {
    const pair = await onePair(server, name, lostMs);
    measured.push(pair);
    if (pair.lost.length > 0) lost += 1;
    await askAlone();
  }
  const wanted = lost === 0 ? 0 : Math.max(ALONE.least, ALONE.each * measured.length);
  while (alone.sent < wanted && alone.lost < ALONE.enoughLost && goesOn()) await askAlone();
  return { pairs: measured, alone };
}

async function onePair(server: DnsServer, name: string, lostMs: number): Promise<Pair> {
  const socket = await openUdp(server);
  // A refused packet raises an error on the socket; count it as lost like any other.
  socket.on('error', () => {});
  try {
    const started = performance.now();
    const lost = await exchange(socket, questions(name), lostMs);
    if (lost.length === 0) return { ms: performance.now() - started, lost: [] };
    const still = await exchange(socket, lost, lostMs);
    return { lost: lost.map(({ type }) => type), again: still.length === 0 };
  } finally {
    socket.close();
  }
}

interface Question {
  readonly type: RecordType;
  readonly query: Buffer;
}

function questions(name: string): readonly Question[] {
  const first = newId();
  // Like resolvers: A before AAAA, with different ids.
  return [
    { type: 'A', query: encodeQuery(first, name, 'A') },
    { type: 'AAAA', query: encodeQuery((first + 1) & 0xffff, name, 'AAAA') },
  ];
}

/** Sends all queries at once, waits up to `ms`, and resolves to those without an answer. */
async function exchange(socket: Socket, sent: readonly Question[], ms: number): Promise<readonly Question[]> {
  const open = new Set(sent);
  const { promise, resolve } = Promise.withResolvers<void>();
  const onMessage = (message: Buffer): void => {
    for (const question of open) if (readAnswer(message, question.query) !== undefined) open.delete(question);
    if (open.size === 0) resolve();
  };
  const stop = whenLate(resolve, ms);
  socket.on('message', onMessage);
  for (const { query } of sent) socket.send(query);
  await promise;
  stop();
  socket.off('message', onMessage);
  return [...open];
}

/**
 * Judges a measurement. `webhook`: whether the webhook is registered, so that patched Pods avoid the race. A fault not seen in
 * n tries has a rate below 3/n with 95 % confidence.
 */
export function judgeRace(address: string, race: Race, webhook: boolean): Outcome {
  const measured = measuredOf(race);
  const { pairs, lost, medianMs, worstMs } = measured;
  const data = { address, ...measured };
  const { aloneSent, aloneLost } = measured;
  if (pairs > 0 && lost === 0 && aloneLost > 0) {
    const seen = `${address}: ${aloneLost} of ${aloneSent} single questions got lost: no race, the path or the server`;
    return warning(seen, { data, advice: [LOSSY] });
  }
  if (pairs === 0) return warning(`${address}: nothing was measured in time`, { data });
  if (lost > 0) return judgeLost(address, measured, webhook, { data });
  const below = Math.ceil(300 / pairs);
  const times = `${shownMs(medianMs)} in the middle, ${shownMs(worstMs)} at most`;
  return ok(`${address}: none of ${counted(pairs, 'look-up')} with A and AAAA at once lost an answer (${times})`, {
    data,
    details: [`so fewer than ${below} % do, from here, now: a race needs luck and load`],
  });
}

/** Sources: resolv.conf(5); musl's res_msend.c spreads 2 tries over 5 s. */
const WAITS = 'glibc waits 5 s and musl 2.5 s before they ask again';

const COUNTERS: Advice = {
  text: 'See it on a node: the column drop grows with it (insert_failed alone proves nothing).',
  command: 'conntrack -S',
};

const LOSSY: Advice = { text: 'Look at the load and the log of the cluster DNS, and at packet loss between nodes.' };

function judgeLost(address: string, measured: Measured, webhook: boolean, base: Partial<Outcome>): Outcome {
  const { pairs, lost, lostA, lostAAAA, answeredAgain, aloneLost, aloneSent } = measured;
  const which = `lost: AAAA ${lostAAAA} times, A ${lostA} times; answered when sent again: ${answeredAgain} of ${lost}`;
  const alone = `sent one at a time, ${aloneLost} of ${aloneSent} got lost`;
  if (!isRace(measured)) {
    const cause =
      aloneLost > 0
        ? 'single questions get lost, too: no race, the path or the server'
        : 'too few to call it a race: measure again';
    const seen = `${address}: ${lost} of ${pairs} look-ups lost an answer; ${cause}`;
    return warning(seen, { ...base, details: [which, alone], advice: [LOSSY] });
  }
  const seen = `${address}: ${lost} of ${counted(pairs, 'look-up')} lost one of its two answers: the race, ${WAITS}`;
  const details = [which, `${alone}: what is lost is the race's`];
  if (webhook)
    return warning(seen, {
      ...base,
      details: [...details, 'Pods that the webhook patches avoid it'],
      advice: [COUNTERS],
    });
  const install = { text: 'Install the webhook: docs/install.md. libc-dns audit shows which Pods it would change.' };
  return failure(seen, { ...base, details, advice: [install, COUNTERS] });
}

function isRace({ pairs, lostA, lostAAAA, aloneSent, aloneLost }: Measured): boolean {
  return chanceOfAllAlike(2 * pairs, lostA + lostAAAA, aloneSent, aloneLost) < 0.01;
}

/**
 * Returns the probability that at most `lostAlone` of the lost packets were single queries if all packets were equally likely
 * to get lost: the lower tail of a binomial distribution. A small value means that sending in pairs causes the loss.
 */
export function chanceOfAllAlike(inPairs: number, lostInPairs: number, alone: number, lostAlone: number): number {
  const lost = lostInPairs + lostAlone;
  const share = alone / (alone + inPairs);
  let term = (1 - share) ** lost;
  let sum = term;
  for (let k = 1; k <= lostAlone; k += 1) {
    term *= ((lost - k + 1) / k) * (share / (1 - share));
    sum += term;
  }
  return Math.min(1, sum);
}

interface Measured {
  readonly pairs: number;
  readonly lost: number;
  readonly lostA: number;
  readonly lostAAAA: number;
  readonly answeredAgain: number;
  readonly aloneSent: number;
  readonly aloneLost: number;
  readonly medianMs: number;
  readonly worstMs: number;
}

function measuredOf({ pairs, alone }: Race): Measured {
  const times = pairs.flatMap((pair) => pair.ms ?? []).toSorted((left, right) => left - right);
  const lost = pairs.filter((pair) => pair.lost.length > 0);
  const losing = (type: 'A' | 'AAAA'): number => lost.filter((pair) => pair.lost.includes(type)).length;
  return {
    pairs: pairs.length,
    lost: lost.length,
    lostA: losing('A'),
    lostAAAA: losing('AAAA'),
    answeredAgain: lost.filter(({ again }) => again === true).length,
    aloneSent: alone.sent,
    aloneLost: alone.lost,
    medianMs: median(times),
    worstMs: times.at(-1) ?? 0,
  };
}

const median = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)] ?? 0;
