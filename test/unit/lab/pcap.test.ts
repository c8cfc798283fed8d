import { describe, expect, it } from 'vitest';
import { readCapture } from '../../lab/capture/pcap.ts';
import { dnsQuery, ethernet, inTcpFraming, pcap, type Frame } from './packets.ts';

const POD = [10, 244, 1, 2];
const SERVICE = [10, 96, 0, 10];
const udp: Frame = {
  protocol: 'udp',
  source: POD,
  target: SERVICE,
  from: 40_000,
  to: 53,
  payload: dnsQuery({ name: 'a.b' }),
};

describe('a capture', () => {
  it('shows a query over UDP, with its time in milliseconds', () => {
    expect(readCapture(pcap([ethernet(udp), ethernet(udp)]))).toMatchObject([
      { at: 1_700_000_000_000, protocol: 'udp', server: '10.96.0.10', port: 40_000, question: { name: 'a.b' } },
      { at: 1_700_000_000_001 },
    ]);
  });

  it('names server and resolver whichever way a packet goes', () => {
    const back = ethernet({ ...udp, source: SERVICE, target: POD, from: 53, to: 40_000 });
    expect(readCapture(pcap([back]))).toMatchObject([{ server: '10.96.0.10', port: 40_000 }]);
  });

  it('shows IPv6 addresses as people write them', () => {
    const source = [...Buffer.from('fd000244000100000000000000000002', 'hex')];
    const target = [...Buffer.from('fd00001000960000000000000000000a', 'hex')];
    expect(readCapture(pcap([ethernet({ ...udp, source, target })]))).toMatchObject([{ server: 'fd00:10:96::a' }]);
  });

  it('shows all messages of a TCP segment', () => {
    const payload = Buffer.concat([dnsQuery({ name: 'a.b' }), dnsQuery({ name: 'c.d' })].map(inTcpFraming));
    expect(readCapture(pcap([ethernet({ ...udp, protocol: 'tcp', payload })]))).toMatchObject([
      { protocol: 'tcp', question: { name: 'a.b' } },
      { protocol: 'tcp', question: { name: 'c.d' } },
    ]);
  });

  it.each([
    ['a TCP segment without data', ethernet({ ...udp, protocol: 'tcp', payload: Buffer.alloc(0) })],
    ['a TCP segment with a part of a message', ethernet({ ...udp, protocol: 'tcp', payload: Buffer.from([0, 40, 1]) })],
    ['what is not DNS', ethernet({ ...udp, to: 80 })],
    ['what is no message', ethernet({ ...udp, payload: Buffer.from('hello, this is no message at all') })],
    ['a frame cut short', ethernet(udp).subarray(0, 40)],
    ['ARP', Buffer.concat([Buffer.alloc(12), Buffer.from([0x08, 0x06]), Buffer.alloc(60)])],
  ])('passes over %s', (_, frame) => {
    expect(readCapture(pcap([frame]))).toEqual([]);
  });

  it('ends before a record that is not whole', () => {
    const whole = pcap([ethernet(udp), ethernet(udp)]);
    expect(readCapture(whole.subarray(0, -1))).toHaveLength(1);
    expect(readCapture(whole.subarray(0, 10))).toEqual([]);
  });

  it('in another format is refused', () => {
    expect(() => readCapture(Buffer.alloc(24))).toThrow('not a little-endian pcap file');
  });
});
