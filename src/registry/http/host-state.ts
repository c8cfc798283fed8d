import { LRUCache } from 'lru-cache';

import { ImageSourceError, type LookupContext } from '../../detection/image-source.ts';
import { sleep } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { type Breaker, type BreakerState, createBreaker, type Verdict } from './breaker.ts';
import { createGate } from './gate.ts';
import type { RegistryLimits } from './limits.ts';

/** What a look-up reads: a repository of a registry or mirror, with one login. Its requests are charged to it. */
export interface Charge {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly repository: string;
  /** `Identity.key`, which says nothing about the login. */
  readonly login: string;
}

/** A request that a host is to answer. */
export interface Call {
  /** Scheme, host and port of the host. */
  readonly origin: string;
  readonly charge: Charge;
  /**
   * Whether another host led to this one, by a redirect or as its token server. What this one answers then says nothing
   * about its own repositories: anybody can point to it.
   */
  readonly isLed: boolean;
  readonly context: LookupContext;
}

/**
 * How a request ended. `answered`: with a redirect or a token, which prove the host and not the repository. `failure`: the
 * host answered, and badly. `unreachable`: it sent no headers. `unknown`: its caller gave up before the host could fail.
 */
export type Outcome = 'success' | 'answered' | 'failure' | 'unreachable' | 'unknown';

/** A host's permission for one request. */
export interface Pass {
  /** Ends the request; later calls do nothing. */
  readonly end: (outcome: Outcome) => void;
}

/** One that keeps failing: a repository, or a whole host, for all or for one tenant. */
export interface BreakerEvent {
  /** Scheme, host and port of the registry. */
  readonly host: string;
  readonly repository?: string;
  /** The host, scheme and port that the registry leads to. */
  readonly leadsTo?: string;
  readonly state: BreakerState;
}

/** Whom we call, how often it fails, and until when it asked to be left alone. */
export interface HostStates {
  /**
   * Waits for a place at the host. Rejects with `rate-limited` or `unavailable` if it must not be called now, with `shed`
   * if too many wait for it, or with the signal's reason.
   */
  enter(call: Call): Promise<Pass>;
  /** Notes that a call was answered by 429 and should come again in `ms` milliseconds. */
  limited(call: Call, ms: number): void;
}

interface HostStatesOptions {
  readonly concurrency: number;
  readonly limits: RegistryLimits;
  readonly clock: Clock;
  readonly onBreaker?: (event: BreakerEvent) => void;
}

/** Keeps what failed or asked for patience of late, of each as many as `limits.hosts`: Pods can name any number of hosts. */
export function createHostStates({ concurrency, limits, clock, onBreaker }: HostStatesOptions): HostStates {
  const gates = createGates(concurrency, limits);
  const blocks = createBlocks(limits, clock);
  const breakers = bounded<Breaker>(3 * limits.hosts);
  const breakerOf = (level: Level): Breaker => {
    const { key, party, witnesses } = level;
    const known = breakers.get(key);
    if (known !== undefined) return known;
    const breaker = createBreaker({
      failures: limits.breakerFailures,
      openMs: limits.breakerOpenMs,
      witnesses,
      clock,
      onChange: (state) => onBreaker?.({ ...party, state }),
    });
    breakers.set(key, breaker);
    return breaker;
  };
  return {
    async enter(call) {
      await blocks.wait(call);
      const leave = await gates.enter(call);
      const settles: ((outcome: Outcome) => void)[] = [];
      for (const level of levelsOf(call)) {
        const settle = breakerOf(level).enter();
        if (typeof settle === 'number') {
          for (const end of [...settles, leave]) end('unknown');
          const message = `${level.what} ${limits.breakerFailures} times in a row and is left alone`;
          throw new ImageSourceError('unavailable', `${message} for another ${seconds(settle)}`);
        }
        settles.push((outcome) => settle(level.verdict(outcome), level.witness));
      }
      return passOf([...settles, leave]);
    },
    limited: (call, ms) => blocks.note(call, ms),
  };
}

/** Returns a memory for so many entries that takes no room while it is empty, unlike one with `max`. */
function bounded<T extends object>(entries: number): LRUCache<string, T> {
  return new LRUCache({ maxSize: entries, sizeCalculation: () => 1 });
}

const hostOf = (origin: string): string => new URL(origin).host;
const wholeOf = ({ origin, login }: Charge): string => JSON.stringify([origin, login]);
const subjectOf = ({ origin, repository, login }: Charge): string => JSON.stringify([origin, repository, login]);

/** One of the breakers that a call has to pass. */
interface Level {
  readonly key: string;
  /** Whose failures it counts, for messages. */
  readonly what: string;
  readonly party: Omit<BreakerEvent, 'state'>;
  readonly verdict: (outcome: Outcome) => Verdict;
  readonly witness: string;
  readonly witnesses: number;
}

/**
 * Returns the breakers of a call: of its repository for all failures; of its host only for failures to reach it, for one
 * tenant as soon as two of its repositories have failed, for all once two tenants have. What a registry leads to counts for
 * calls that this registry leads there.
 */
function levelsOf({ origin, charge, isLed, context }: Call): Level[] {
  const { origin: host, repository } = charge;
  const { tenant = '' } = context;
  const own: Level = {
    key: subjectOf(charge),
    what: `${hostOf(host)}/${repository} failed`,
    party: { host, repository },
    verdict: repositoryVerdict,
    witness: '',
    witnesses: 1,
  };
  const whole = {
    what: `${hostOf(origin)}${isLed ? `, where ${hostOf(host)} leads,` : ''} could not be reached`,
    party: { host, ...(isLed && { leadsTo: origin }) },
    verdict: hostVerdict,
    witnesses: 2,
  };
  const way = [host, origin, isLed];
  const ofTenant = { ...whole, key: JSON.stringify([...way, tenant]), witness: repository };
  return [own, ofTenant, { ...whole, key: JSON.stringify(way), witness: tenant }];
}

function repositoryVerdict(outcome: Outcome): Verdict {
  if (outcome === 'answered') return 'unknown';
  return outcome === 'unreachable' ? 'failure' : outcome;
}

function hostVerdict(outcome: Outcome): Verdict {
  if (outcome === 'unknown') return 'unknown';
  return outcome === 'unreachable' ? 'failure' : 'success';
}

interface Gates {
  /** Waits for a place. Rejects with `shed` if there are too many, or with the signal's reason. */
  enter(call: Call): Promise<() => void>;
}

function createGates(concurrency: number, limits: RegistryLimits): Gates {
  // Bounded by the look-ups under way: a gate that nobody uses is forgotten.
  const gates = new Map<string, ReturnType<typeof createGate>>();
  return {
    async enter({ origin, context }) {
      const gate = gates.get(origin) ?? createGate(concurrency, limits.queue);
      gates.set(origin, gate);
      const tidy = (): void => {
        if (gate.isIdle() && gates.get(origin) === gate) gates.delete(origin);
      };
      const leave = await gate.enter(context, context.tenant, context.signal).finally(tidy);
      if (leave === undefined) {
        throw new ImageSourceError('shed', `${hostOf(origin)}: more than ${limits.queue} requests wait for it already`);
      }
      return () => {
        leave();
        tidy();
      };
    },
  };
}

/** Until when repositories and registries asked to be left alone. */
interface Blocks {
  wait(call: Call): Promise<void>;
  note(call: Call, ms: number): void;
}

/**
 * One repository's word counts for itself. Once two have given it, it counts for the registry with that login: Docker Hub
 * counts by address or login, and says 429 of everything then.
 */
function createBlocks(limits: RegistryLimits, clock: Clock): Blocks {
  const blocked = bounded<{ readonly until: number }>(2 * limits.hosts);
  const lastOf = bounded<{ readonly repository: string; readonly at: number }>(limits.hosts);
  const leftOf = (key: string): number => (blocked.get(key)?.until ?? 0) - clock.monotonic();
  const block = (key: string, ms: number): void => {
    blocked.set(key, { until: clock.monotonic() + Math.max(leftOf(key), ms) });
  };
  return {
    async wait({ charge, isLed, context }) {
      const own = leftOf(subjectOf(charge));
      const whole = isLed ? 0 : leftOf(wholeOf(charge));
      const name = whole >= own ? hostOf(charge.origin) : `${hostOf(charge.origin)}/${charge.repository}`;
      const left = Math.max(own, whole);
      if (left > limits.retryAfterMs) {
        const message = `${name} asked to be left alone for another ${seconds(left)} (429 Too Many Requests)`;
        throw new ImageSourceError('rate-limited', `${message}: log in to it, or set up a mirror`);
      }
      if (left > 0) await sleep(left, context.signal);
    },
    note({ charge, isLed }, ms) {
      block(subjectOf(charge), Math.min(ms, limits.repositoryBlockMs));
      if (isLed) return;
      const key = wholeOf(charge);
      const last = lastOf.get(key);
      const at = clock.monotonic();
      const isSecond = last !== undefined && last.repository !== charge.repository && at - last.at < limits.blockMs;
      if (isSecond) block(key, Math.min(ms, limits.blockMs));
      lastOf.set(key, { repository: charge.repository, at });
    },
  };
}

function passOf(ends: readonly ((outcome: Outcome) => void)[]): Pass {
  let ended = false;
  return {
    end(outcome) {
      if (ended) return;
      ended = true;
      for (const end of ends) end(outcome);
    },
  };
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}

/**
 * Returns the milliseconds of a `Retry-After` header, which holds seconds or a date (RFC 9110 section 10.2.3): at most
 * `longest`, `fallback` if the header is missing or invalid. `now` is milliseconds since 1970.
 */
export function retryAfterMs(
  header: string | undefined,
  options: { readonly now: number; readonly fallback: number; readonly longest: number },
): number {
  const text = header?.trim() ?? '';
  const asked = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : dateIn(text, options.now);
  return Math.min(Math.max(asked ?? options.fallback, 0), options.longest);
}

function dateIn(text: string, now: number): number | undefined {
  // Date.parse reads a bare number as a year; every HTTP date begins with the name of a day.
  const at = /^[A-Z][a-z]+,? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at - now;
}
