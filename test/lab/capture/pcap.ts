import { readQuestion, type Question } from '../dns/message.ts';

/** A DNS message on the wire. */
export interface Packet {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly protocol: 'udp' | 'tcp';
  /** Address of the server, in either direction. */
  readonly server: string;
  /** Port of the resolver. */
  readonly port: number;
  readonly question: Question;
}

interface Transport {
  readonly protocol: number;
  readonly source: string;
  readonly target: string;
  readonly payload: Buffer;
}

const UDP = 17;
const TCP = 6;
const DNS_PORT = 53;

const ipv4Text = (bytes: Buffer): string => bytes.join('.');

/** Formats an address as in RFC 5952, using the WHATWG URL serializer. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

/** Reads Ethernet with IPv4 (ignoring options) or IPv6 (without extension headers), which is all that the lab sends. */
function readTransport(frame: Buffer): Transport | undefined {
  if (frame.length < 14 + 40) return undefined;
  const type = frame.readUInt16BE(12);
  const packet = frame.subarray(14);
  if (type === 0x0800) {
    const header = ((packet[0] ?? 0) & 0xf) * 4;
    const end = Math.min(packet.length, packet.readUInt16BE(2));
    const [source, target] = [ipv4Text(packet.subarray(12, 16)), ipv4Text(packet.subarray(16, 20))];
    return { protocol: packet[9] ?? 0, source, target, payload: packet.subarray(header, end) };
  }
  if (type !== 0x86dd) return undefined;
  const end = Math.min(packet.length, 40 + packet.readUInt16BE(4));
  const [source, target] = [ipv6Text(packet.subarray(8, 24)), ipv6Text(packet.subarray(24, 40))];
  return { protocol: packet[6] ?? 0, source, target, payload: packet.subarray(40, end) };
}

/** Yields the complete DNS messages in a TCP segment (RFC 1035 4.2.2). */
function* framed(payload: Buffer): Generator<Buffer> {
  let at = 0;
  while (at + 2 <= payload.length) {
    const end = at + 2 + payload.readUInt16BE(at);
    if (end > payload.length) return;
    yield payload.subarray(at + 2, end);
    at = end;
  }
}

function messagesOf({ protocol, payload }: Transport): Buffer[] {
  if (protocol === UDP) return [payload.subarray(8)];
  if (payload.length < 20) return [];
  return [...framed(payload.subarray(((payload[12] ?? 0) >> 4) * 4))];
}

function packetsOf(frame: Buffer, at: number): Packet[] {
  const found = readTransport(frame);
  if (found === undefined || found.payload.length < 8 || ![UDP, TCP].includes(found.protocol)) return [];
  const { payload, source, target } = found;
  const [from, to] = [payload.readUInt16BE(0), payload.readUInt16BE(2)];
  if (from !== DNS_PORT && to !== DNS_PORT) return [];
  const ends = to === DNS_PORT ? { server: target, port: from } : { server: source, port: to };
  const protocol = found.protocol === UDP ? 'udp' : 'tcp';
  const packets: Packet[] = [];
  for (const message of messagesOf(found)) {
    const question = readQuestion(message);
    if (question !== undefined) packets.push({ at, protocol, ...ends, question });
  }
  return packets;
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET = 1;

/**
 * Returns the DNS packets of a capture by tcpdump (pcap 2.4, little-endian, microseconds, Ethernet). Skips an incomplete last
 * record. Throws for any other format.
 */
export function readCapture(file: Buffer): Packet[] {
  if (file.length < FILE_HEADER) return [];
  if (file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== ETHERNET) {
    throw new Error('the capture is not a little-endian pcap file of Ethernet frames');
  }
  const packets: Packet[] = [];
  let at = FILE_HEADER;
  while (at + RECORD_HEADER <= file.length) {
    const end = at + RECORD_HEADER + file.readUInt32LE(at + 8);
    if (end > file.length) break;
    const time = file.readUInt32LE(at) * 1000 + file.readUInt32LE(at + 4) / 1000;
    packets.push(...packetsOf(file.subarray(at + RECORD_HEADER, end), time));
    at = end;
  }
  return packets;
}
