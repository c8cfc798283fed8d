/** As much of DNS (RFC 1035 section 4) as a question for an address and the head of its answer need. */

const TYPES = { A: 1, AAAA: 28 } as const;

export type RecordType = keyof typeof TYPES;

/** RFC 1035 4.1.1 and RFC 2136 names of RCODEs. */
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const;

export interface Answer {
  /** `NOERROR`, `NXDOMAIN`, …, or its number. */
  readonly code: string;
  /** Records in the answer section, as its head says. */
  readonly answers: number;
}

const HEADER = 12;

/** A query with recursion desired for an ASCII name, without EDNS, as libc's resolvers send it. `id`: 16 bits. */
export function encodeQuery(id: number, name: string, type: RecordType): Buffer {
  const labels = name.split('.').filter(Boolean);
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = labels.flatMap((label) => [
    Buffer.from([Math.min(label.length, 63)]),
    Buffer.from(label.slice(0, 63)),
  ]);
  return Buffer.concat([header, ...question, Buffer.from([0, 0, TYPES[type], 0, 1])]);
}

/** Reads the answer to `query`; undefined for anything else. The question has to come back as it went (RFC 5452 section 9.1). */
export function readAnswer(message: Buffer, query: Buffer): Answer | undefined {
  if (message.length < query.length || message.readUInt16BE(0) !== query.readUInt16BE(0)) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) === 0 || message.readUInt16BE(4) !== 1) return undefined;
  const asked = query.subarray(HEADER).toString('latin1').toLowerCase();
  if (message.subarray(HEADER, query.length).toString('latin1').toLowerCase() !== asked) return undefined;
  const code = flags & 0xf;
  return { code: CODES[code] ?? String(code), answers: message.readUInt16BE(6) };
}
