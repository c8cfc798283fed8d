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
  /** Lost look-ups after which enough is known. */
  readonly enough: number;
  /** Milliseconds for all of it. */
  readonly totalMs: number;
}

/** A look-up takes a few milliseconds, so that a hundred are done in a second; a lost one costs `lostMs`. */
export const RACE_LIMITS: RaceLimits = { pairs: 100, lostMs: 1000, enough: 5, totalMs: 15_000 };

/**
 * Single questions for each look-up, and at least, once something was lost: with five lost packets and none of these lost,
 * chance alone gives that in less than one of a hundred measurements.
 */
const ALONE = { each: 4, least: 100, enoughLost: 3 } as const;

/** What became of A and AAAA, sent at once from one socket with a source port of its own. */
interface Pair {
  /** Milliseconds until both answers were there; undefined where one was lost. */
  readonly ms?: number;
  readonly lost: readonly RecordType[];
  /** Whether a lost question was answered when it was sent again, from the same socket, as resolvers do. */
  readonly again?: boolean;
}

interface Race {
  readonly pairs: readonly Pair[];
  /** As many questions one at a time, each from a socket of its own: what the path loses anyway. */
  readonly alone: { readonly sent: number; readonly lost: number };
}

interface Question {
  readonly type: RecordType;
  readonly query: Buffer;
}

function questions(name: string): readonly Question[] {
  const first = newId();
  // As resolvers send them: A before AAAA, with different ids.
  return [
    { type: 'A', query: encodeQuery(first, name, 'A') },
    { type: 'AAAA', query: encodeQuery((first + 1) & 0xffff, name, 'AAAA') },
  ];
}

/** Sends all at once and waits; resolves to those without an answer. */
async function exchange(socket: Socket, asked: readonly Question[], ms: number): Promise<readonly Question[]> {
  const open = new Set(asked);
  const { promise, resolve } = Promise.withResolvers<void>();
  const onMessage = (message: Buffer): void => {
    for (const question of open) if (readAnswer(message, question.query) !== undefined) open.delete(question);
    if (open.size === 0) resolve();
  };
  const stop = whenLate(resolve, ms);
  socket.on('message', onMessage);
  for (const { query } of asked) socket.send(query);
  await promise;
  stop();
  socket.off('message', onMessage);
  return [...open];
}

async function onePair(server: DnsServer, name: string, lostMs: number): Promise<Pair> {
  const socket = await openUdp(server);
  // Refused packets come back as errors of the socket: they are as lost as others.
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

/**
 * Measures what a resolver that asks for A and AAAA at once goes through: each look-up from a socket of its own, hence with a
 * source port that conntrack has not seen. Single questions in between tell what the path loses in any case. Ends early
 * when enough was lost, or when the signal says so. Rejects where no socket can be opened.
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
    // Questions that follow each other too closely are load, not a measurement.
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

/** Milliseconds that a resolver waits before it asks again: resolv.conf(5), and musl's res_msend.c with its 5 s for 2 tries. */
const WAITS = { glibc: 5000, musl: 2500 } as const;

const median = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)] ?? 0;

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

/**
 * How likely it is that so few of the lost packets were single questions, if every packet got lost alike: the lower tail of a
 * binomial distribution. Small: the pairs lose what single questions do not.
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

function isRace({ pairs, lostA, lostAAAA, aloneSent, aloneLost }: Measured): boolean {
  return chanceOfAllAlike(2 * pairs, lostA + lostAAAA, aloneSent, aloneLost) < 0.01;
}

const COUNTERS: Advice = {
  text: 'See it on a node: the column drop grows with it (insert_failed alone proves nothing).',
  command: 'conntrack -S',
};

const waits = `glibc waits ${WAITS.glibc / 1000} s and musl ${WAITS.musl / 1000} s before they ask again`;

const LOSSY: Advice = { text: 'Look at the load and the log of the cluster DNS, and at packet loss between nodes.' };

function judgeLost(address: string, measured: Measured, webhook: boolean, base: Partial<Outcome>): Outcome {
  const { pairs, lost, lostA, lostAAAA, answeredAgain, aloneLost, aloneSent } = measured;
  const which = `lost: AAAA ${lostAAAA} times, A ${lostA} times; answered when sent again: ${answeredAgain} of ${lost}`;
  const alone = `sent one at a time, ${aloneLost} of ${aloneSent} got lost`;
  if (!isRace(measured)) {
    const why =
      aloneLost > 0
        ? 'single questions get lost, too: no race, the path or the server'
        : 'too few to call it a race: measure again';
    const seen = `${address}: ${lost} of ${pairs} look-ups lost an answer; ${why}`;
    return warning(seen, { ...base, details: [which, alone], advice: [LOSSY] });
  }
  const seen = `${address}: ${lost} of ${counted(pairs, 'look-up')} lost one of its two answers: the race, ${waits}`;
  const details = [which, `${alone}: what is lost is the race's`];
  if (webhook)
    return warning(seen, {
      ...base,
      details: [...details, 'Pods that the webhook patches keep out of it'],
      advice: [COUNTERS],
    });
  const install = { text: 'Install the webhook: docs/install.md. libc-dns audit shows which Pods it would change.' };
  return failure(seen, { ...base, details, advice: [install, COUNTERS] });
}

/**
 * Says what a measurement means. `webhook`: it is registered here, so that patched Pods keep out of the race. A rate that was
 * not seen in n tries is below 3/n with 95 % confidence.
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
