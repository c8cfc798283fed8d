import { TYPE_A, TYPE_AAAA } from '../dns/message.ts';
import type { Packet } from './pcap.ts';

/** One query: packets with one id from one port to one server, and whether it was answered. */
export interface Exchange {
  readonly protocol: 'udp' | 'tcp';
  readonly server: string;
  readonly port: number;
  readonly name: string;
  readonly type: number;
  /** Times at which it was sent, milliseconds since the epoch. */
  readonly sent: readonly number[];
  readonly answered?: number;
}

/** Groups packets into exchanges, in the order of their first packets. */
export function exchangesOf(packets: readonly Packet[]): Exchange[] {
  const found = new Map<string, { -readonly [key in keyof Exchange]: Exchange[key] }>();
  for (const { question, protocol, server, port, at } of packets) {
    const { name, type } = question;
    const key = [protocol, server, port, question.id, name, type].join(' ');
    const known = found.get(key);
    if (!question.response) {
      if (known === undefined) found.set(key, { protocol, server, port, name, type, sent: [at] });
      else known.sent = [...known.sent, at];
    } else if (known !== undefined) {
      known.answered ??= at;
    }
  }
  return [...found.values()];
}

/** Groups exchanges by look-up. Each look-up asks for a different name; its first label is the token. */
export function byToken(exchanges: readonly Exchange[]): Map<string, Exchange[]> {
  return Map.groupBy(exchanges, ({ name }) => name.split('.', 1)[0] ?? '');
}

const of = (exchanges: readonly Exchange[], type: number): Exchange | undefined =>
  exchanges.find((exchange) => exchange.type === type);

function ports(exchanges: readonly Exchange[], same: boolean, inTurn: boolean): boolean {
  const [a, aaaa] = [of(exchanges, TYPE_A), of(exchanges, TYPE_AAAA)];
  if (a === undefined || aaaa === undefined || exchanges.some(({ protocol }) => protocol === 'tcp')) return false;
  const [first, second] = [a, aaaa].toSorted((x, y) => (x.sent[0] ?? 0) - (y.sent[0] ?? 0)) as [Exchange, Exchange];
  const waited = first.answered !== undefined && (second.sent[0] ?? 0) > first.answered;
  return (a.port === aaaa.port) === same && waited === inTurn;
}

/** Returns the milliseconds until an unanswered query was first sent again; undefined if none was. */
function resendGap(exchanges: readonly Exchange[]): number | undefined {
  const gaps = exchanges.flatMap(({ sent, type, server, answered }) => {
    const [first = 0, second] = sent;
    // A resolver may also retry with a new id or from a new port.
    const again =
      second ?? exchanges.find((x) => x.type === type && x.server === server && (x.sent[0] ?? 0) > first)?.sent[0];
    const unanswered = answered === undefined || sent.length > 1;
    return unanswered && again !== undefined ? [again - first] : [];
  });
  return gaps.length === 0 ? undefined : Math.min(...gaps);
}

const resentAfter = (exchanges: readonly Exchange[], least: number, most: number): boolean => {
  const gap = resendGap(exchanges);
  return gap !== undefined && gap > least && gap < most;
};

/** Reports whether each query was answered before the next was sent. */
function oneAtATime(all: readonly Exchange[]): boolean {
  return all.every(({ sent }, index) => index === 0 || (all[index - 1]?.answered ?? Infinity) <= (sent[0] ?? 0));
}

/** What the packets of a look-up can show. `isLocal` reports whether an exchange is with the node-local cache. */
const BEHAVIOURS = {
  'one-port-at-once': (all) => ports(all, true, false),
  'two-ports-at-once': (all) => ports(all, false, false),
  'two-ports-in-turn': (all) => ports(all, false, true),
  'packet-lost': (all) => all.some(({ answered, sent }) => answered === undefined || sent.length > 1),
  tcp: (all) => all.every(({ protocol, answered }) => protocol === 'tcp' && answered !== undefined),
  'answered-locally': (all, isLocal) =>
    [TYPE_A, TYPE_AAAA].every((type) =>
      all.some((one) => one.type === type && isLocal(one) && one.answered !== undefined),
    ),
  'asked-locally-only': (all, isLocal) => all.every(isLocal),
  'one-query-a-port': (all) => [...Map.groupBy(all, ({ port }) => port).values()].every(oneAtATime),
  'resent-early': (all) => resentAfter(all, 400, 700),
} as const satisfies Record<string, (all: readonly Exchange[], isLocal: (one: Exchange) => boolean) => boolean>;

export type Behaviour = keyof typeof BEHAVIOURS;

/** Reports whether the packets of a look-up show `behaviour`. `local` holds the node-local cache's addresses. */
export function shows(behaviour: Behaviour, exchanges: readonly Exchange[], local: readonly string[]): boolean {
  return exchanges.length > 0 && BEHAVIOURS[behaviour](exchanges, ({ server }) => local.includes(server));
}
