/**
 * The part of DNS (RFC 1035 section 4) that the lab needs: reading a query and answering it. Names in the lab have only
 * lower-case letters, digits, dots and hyphens; the name of a question is never compressed.
 */

export const TYPE_A = 1;
export const TYPE_AAAA = 28;

export interface Question {
  readonly id: number;
  /** Whether the message is a response (QR). */
  readonly response: boolean;
  /** RCODE: 0 (NOERROR) or 3 (NXDOMAIN). */
  readonly code: number;
  /** Without the trailing dot. */
  readonly name: string;
  /** 1 is A, 28 is AAAA. */
  readonly type: number;
}

interface Name {
  readonly name: string;
  readonly end: number;
}

function readName(message: Buffer): Name | undefined {
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at + 1 + length > message.length) return undefined;
    if (length === 0) return { name: labels.join('.'), end: at + 1 };
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
}

/** Reads the question of a query or response; undefined if the bytes are not a message with one question. */
export function readQuestion(message: Buffer): Question | undefined {
  if (message.length < 12 || message.readUInt16BE(4) !== 1) return undefined;
  const found = readName(message);
  if (found === undefined || found.end + 4 > message.length) return undefined;
  const flags = message.readUInt16BE(2);
  return {
    id: message.readUInt16BE(0),
    response: (flags & 0x8000) !== 0,
    code: flags & 0xf,
    name: found.name,
    type: message.readUInt16BE(found.end),
  };
}

/** The addresses of every existing name, 192.0.2.1 and 2001:db8::1, from documentation ranges (RFC 5737, RFC 3849). */
const RECORDS: Readonly<Record<number, Buffer>> = {
  [TYPE_A]: Buffer.from([192, 0, 2, 1]),
  [TYPE_AAAA]: Buffer.from('20010db8000000000000000000000001', 'hex'),
};

/** Existing names: Services of two namespaces, and a domain outside the cluster. Any other name is NXDOMAIN. */
const EXISTING = /^[a-z0-9-]+\.((shop|infra)\.svc\.cluster\.local|lab\.example)$/;

/** Returns the response of an authoritative server that offers recursion; undefined if the message is not a query. */
export function answerTo(query: Buffer): Buffer | undefined {
  const question = readQuestion(query);
  const end = readName(query)?.end;
  if (question === undefined || end === undefined || question.response) return undefined;
  const exists = EXISTING.test(question.name.toLowerCase());
  const address = exists ? RECORDS[question.type] : undefined;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(question.id, 0);
  header.writeUInt16BE(0x8580 | (exists ? 0 : 3), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(address === undefined ? 0 : 1, 6);
  const parts = [header, query.subarray(12, end + 4)];
  if (address !== undefined) {
    const record = Buffer.from([0xc0, 12, 0, question.type, 0, 1, 0, 0, 0, 30, 0, address.length]);
    parts.push(record, address);
  }
  return Buffer.concat(parts);
}
