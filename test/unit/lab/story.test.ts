import { describe, expect, it } from 'vitest';
import type { Packet } from '../../lab/capture/pcap.ts';
import { byToken, exchangesOf, shows, type Behaviour } from '../../lab/capture/story.ts';
import { TYPE_A, TYPE_AAAA } from '../../lab/dns/message.ts';

const SERVICE = '10.96.0.10';
const LOCAL = '169.254.20.10';

interface Line {
  readonly at: number;
  readonly type?: number;
  readonly port?: number;
  readonly server?: string;
  readonly protocol?: 'udp' | 'tcp';
  readonly answer?: boolean;
  readonly id?: number;
}

const packet = ({
  at,
  type = TYPE_A,
  port = 1000,
  server = SERVICE,
  protocol = 'udp',
  answer = false,
  id,
}: Line): Packet => ({
  at,
  protocol,
  server,
  port,
  question: { id: id ?? type, response: answer, code: 0, name: 'run-1.shop.svc.cluster.local', type },
});

const RACE: Line[] = [{ at: 0 }, { at: 0.1, type: TYPE_AAAA }, { at: 5, answer: true }];
const both = (rest: Partial<Line>): Line[] => [
  { at: 0, ...rest },
  { at: 1, type: TYPE_AAAA, ...rest },
  { at: 5, answer: true, ...rest },
  { at: 6, type: TYPE_AAAA, answer: true, ...rest },
];

describe('the packets of a look-up', () => {
  it.each<{ title: string; lines: Line[]; shown: Behaviour[] }>([
    { title: 'of nobody', lines: [], shown: [] },
    {
      title: 'of a lost race: asked again after the timeout, from the same port',
      lines: [...RACE, { at: 5005, type: TYPE_AAAA }, { at: 5010, type: TYPE_AAAA, answer: true }],
      shown: ['one-port-at-once', 'packet-lost'],
    },
    {
      title: 'of a lost race that is never asked about again',
      lines: RACE,
      shown: ['one-port-at-once', 'packet-lost'],
    },
    {
      title: 'of musl with attempts:10: asked again after half a second',
      lines: [...RACE, { at: 500, type: TYPE_AAAA }, { at: 505, type: TYPE_AAAA, answer: true }],
      shown: ['one-port-at-once', 'packet-lost', 'resent-early'],
    },
    {
      title: 'of a resolver that asks again with another identifier',
      lines: [...RACE, { at: 500, type: TYPE_AAAA, id: 99 }, { at: 505, type: TYPE_AAAA, id: 99, answer: true }],
      shown: ['one-port-at-once', 'packet-lost', 'resent-early'],
    },
    {
      title: 'of single-request-reopen',
      lines: [
        { at: 0 },
        { at: 5, answer: true },
        { at: 6, type: TYPE_AAAA, port: 1001 },
        { at: 11, type: TYPE_AAAA, port: 1001, answer: true },
      ],
      shown: ['two-ports-in-turn'],
    },
    {
      title: 'of Go',
      lines: [
        { at: 0 },
        { at: 0.1, type: TYPE_AAAA, port: 1001 },
        { at: 5, answer: true },
        { at: 6, type: TYPE_AAAA, port: 1001, answer: true },
      ],
      shown: ['two-ports-at-once'],
    },
    { title: 'of use-vc', lines: both({ protocol: 'tcp' }), shown: ['tcp'] },
    {
      title: 'of the node-local cache alone',
      lines: both({ server: LOCAL }),
      shown: ['one-port-at-once', 'answered-locally', 'asked-locally-only'],
    },
    {
      title: 'of the node-local cache and the service address',
      lines: [...both({ server: LOCAL }), ...RACE],
      shown: ['one-port-at-once', 'packet-lost', 'answered-locally'],
    },
  ])('$title', ({ lines, shown }) => {
    const exchanges = exchangesOf(lines.map(packet));
    const behaviours: Behaviour[] = [
      'one-port-at-once',
      'two-ports-at-once',
      'two-ports-in-turn',
      'packet-lost',
      'tcp',
      'answered-locally',
      'asked-locally-only',
      'resent-early',
    ];
    expect(behaviours.filter((behaviour) => shows(behaviour, exchanges, [LOCAL])).toSorted()).toEqual(shown.toSorted());
  });

  it.each<{ title: string; lines: Line[]; shown: boolean }>([
    { title: 'two queries at once from one port', lines: both({}), shown: false },
    { title: 'a query behind one that was never answered', lines: RACE, shown: false },
    {
      title: 'two queries at once from two ports',
      lines: [{ at: 0 }, { at: 1, type: TYPE_AAAA, port: 1001 }, { at: 5, answer: true }],
      shown: true,
    },
    {
      title: 'a port that is used again once it has its answer',
      lines: [{ at: 0 }, { at: 5, answer: true }, { at: 6, type: TYPE_AAAA }, { at: 9, type: TYPE_AAAA, answer: true }],
      shown: true,
    },
  ])('show one query a port at a time, or not: $title', ({ lines, shown }) => {
    expect(shows('one-query-a-port', exchangesOf(lines.map(packet)), [])).toBe(shown);
  });

  it('are told apart by the first label of the name', () => {
    expect([...byToken(exchangesOf(RACE.map(packet))).keys()]).toEqual(['run-1']);
  });

  it('an answer that nobody asked for is no exchange', () => {
    expect(exchangesOf([packet({ at: 0, answer: true })])).toEqual([]);
  });
});
