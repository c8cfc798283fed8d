import type { Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

import { askUdp, newId, openUdp, whenLate, type DnsServer } from './ask.ts';
import { encodeQuery, readAnswer, type RecordType } from './message.ts';

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
export interface Pair {
  /** Milliseconds until both answers were there; undefined where one was lost. */
  readonly ms?: number;
  readonly lost: readonly RecordType[];
  /** Whether a lost question was answered when it was sent again, from the same socket, as resolvers do. */
  readonly again?: boolean;
}

export interface Race {
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
