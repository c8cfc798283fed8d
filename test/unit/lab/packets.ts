import { TYPE_A } from '../../lab/dns/message.ts';

/** A query as a resolver sends it. */
export function dnsQuery({ id = 1, name, type = TYPE_A }: { id?: number; name: string; type?: number }): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

/** Over TCP, messages have their length before them. */
export const inTcpFraming = (message: Buffer): Buffer =>
  Buffer.concat([Buffer.from([message.length >> 8, message.length & 0xff]), message]);

interface Segment {
  readonly protocol: 'udp' | 'tcp';
  readonly from: number;
  readonly to: number;
  readonly payload: Buffer;
}

function transport({ protocol, from, to, payload }: Segment): Buffer {
  const header = Buffer.alloc(protocol === 'udp' ? 8 : 20);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  if (protocol === 'tcp') header.writeUInt8(5 << 4, 12);
  return Buffer.concat([header, payload]);
}

export interface Frame extends Segment {
  readonly source: readonly number[];
  readonly target: readonly number[];
}

/** An Ethernet frame; addresses of 16 bytes make it IPv6. */
export function ethernet(frame: Frame): Buffer {
  const body = transport(frame);
  const next = frame.protocol === 'udp' ? 17 : 6;
  const v6 = frame.source.length === 16;
  const length = v6 ? body.length : body.length + 20;
  const ip = v6
    ? [0x60, 0, 0, 0, length >> 8, length & 0xff, next, 64]
    : [0x45, 0, length >> 8, length & 0xff, 0, 0, 0, 0, 64, next, 0, 0];
  const type = v6 ? [0x86, 0xdd] : [0x08, 0x00];
  return Buffer.concat([Buffer.alloc(12), Buffer.from([...type, ...ip, ...frame.source, ...frame.target]), body]);
}

/** A capture as tcpdump writes it, with the frames a millisecond apart. */
export function pcap(frames: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt32LE(1, 20);
  const records = frames.map((frame, index) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1_700_000_000, 0);
    record.writeUInt32LE(index * 1000, 4);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return Buffer.concat([record, frame]);
  });
  return Buffer.concat([header, ...records]);
}
