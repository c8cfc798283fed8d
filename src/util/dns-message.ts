import { randomInt } from 'node:crypto';

/** The part of DNS messages (RFC 1035 section 4) that a query for an address and the header of its response need. */

const TYPES = { A: 1, AAAA: 28 } as const;

export type RecordType = keyof typeof TYPES;

/** RFC 1035 4.1.1 and RFC 2136 names of RCODEs. */
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const;

export interface Answer {
  /** `NOERROR`, `NXDOMAIN`, …, or its number. */
  readonly code: string;
  /** Records in the answer section, as the header says. */
  readonly answers: number;
}

const HEADER = 12;

/** Returns a random message id of 16 bits. */
export const newId = (): number => randomInt(0x1_00_00);

/** Returns a query with recursion desired for an ASCII name, without EDNS, as libc's resolvers send it. `id`: 16 bits. */
export function encodeQuery(id: number, name: string, type: RecordType): Buffer {
  const labels = name.split('.').filter(Boolean);
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = labels.flatMap((label) => [
    Buffer.from([Math.min(label.length, 63)]),
    Buffer.from(label.slice(0, 63)),
  ]);
  return Buffer.concat([header, ...question, Buffer.from([0, 0, TYPES[type], 0, 1])]);
}

/** Returns the message as TCP carries it, with its length before it (RFC 7766 section 8). */
export function framed(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 0xff]), message]);
}

/** Reports whether `message` begins as a response to `query`, with any RCODE. The first 4 bytes decide. */
export function isResponse(message: Buffer, query: Buffer): boolean {
  return (
    message.length >= 4 && message.readUInt16BE(0) === query.readUInt16BE(0) && (message.readUInt8(2) & 0x80) !== 0
  );
}

/** Reads the answer to `query`; undefined for anything else. The question has to come back as it went (RFC 5452 section 9.1). */
export function readAnswer(message: Buffer, query: Buffer): Answer | undefined {
  if (message.length < query.length || !isResponse(message, query) || message.readUInt16BE(4) !== 1) return undefined;
  const asked = query.subarray(HEADER).toString('latin1').toLowerCase();
  if (message.subarray(HEADER, query.length).toString('latin1').toLowerCase() !== asked) return undefined;
  const code = message.readUInt16BE(2) & 0xf;
  return { code: CODES[code] ?? String(code), answers: message.readUInt16BE(6) };
}
