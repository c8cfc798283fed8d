import { counted } from '../../util/text.ts';
import { type Advice, failure, ok, type Outcome, warning } from '../check.ts';
import type { Race } from './race.ts';

/** Milliseconds that a resolver waits before it asks again: resolv.conf(5), and musl's res_msend.c with its 5 s for 2 tries. */
const WAITS = { glibc: 5000, musl: 2500 } as const;

const median = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)] ?? 0;

const ms = (value: number): string => (value < 10 ? value.toFixed(1) : value.toFixed(0));

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
  const times = `${ms(medianMs)} ms in the middle, ${ms(worstMs)} ms at most`;
  return ok(`${address}: none of ${counted(pairs, 'look-up')} with A and AAAA at once lost an answer (${times})`, {
    data,
    details: [`so fewer than ${below} % do, from here, now: a race needs luck and load`],
  });
}
